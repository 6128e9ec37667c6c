"""Runs of worlds, and what is reported of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from history import Violation
from parts import Parts
from world import World

TRACE_LINES_MAX = 400
UNEXPECTED = "a process died of an unexpected"


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one seed."""

    seed: int
    violation: str  # empty if every promise was kept
    counts: Counter[str]  # faults that landed, answers
    lines: list[str]  # the trace, if it was wanted

    def report(self) -> str:
        """The trace's end and the verdict."""
        verdict = f"VIOLATION: {self.violation}" if self.violation else "every promise was kept"
        return "\n".join([*self.lines[-TRACE_LINES_MAX:], f"seed {self.seed}: {verdict}"])


def run_one(seed: int, parts: Parts | None = None, *, tell: bool = False) -> Run:
    """One world from beginning to end; `tell` keeps a trace."""
    world = World(seed, parts, tell=tell)
    violation = ""
    try:
        world.run()
    except Violation as error:
        violation = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a process dies of is a finding, shown with its seed
        violation = f"{UNEXPECTED} {type(error).__name__}: {error}"
    return Run(seed, violation, world.counts, world.lines or [])


def run_many(seeds: Iterable[int], parts: Parts | None = None) -> Iterator[Run]:
    """One world a seed, in order."""
    return (run_one(seed, parts) for seed in seeds)
