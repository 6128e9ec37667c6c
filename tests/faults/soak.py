"""The scorecard at length: rounds of real processes under fire, for as long as you like.

python tests/faults/soak.py --minutes 30               all rows, each round with the next seed
python tests/faults/soak.py --row R1 --seed 7 --rounds 1   one round again

Stopped at any moment and started again, it goes on where it was: `build/soak/state.json` holds what has
landed, what failed and with which seed. The files of a failed round stay in `build/soak/rounds`.
"""

import argparse
import json
import logging
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "odl")]

from fire.scorecard import ROWS, play  # noqa: E402 - importable from here on
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

BUILD = Path(__file__).parent.parent.parent / "build" / "soak"


@dataclass
class Progress:
    """What one row has come to, over all runs."""

    next_seed: int = 1
    rounds: int = 0
    seconds: float = 0.0
    landed: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, str | int]] = field(default_factory=list)  # seed, and what was said


class Soak:
    """The state of all rows, kept in a file after every round."""

    def __init__(self, directory: Path, console: Console, play: Callable[..., Counter[str]] = play) -> None:
        """`play`: one round; what landed."""
        self._play = play
        self.directory = directory
        self.path = directory / "state.json"
        self.console = console
        directory.mkdir(parents=True, exist_ok=True)
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.rows = {name: Progress(**kept.get(name, {})) for name in ROWS}

    def share(self, name: str) -> float:
        """How much of its goal a row has reached."""
        return ROWS[name].done(self.rows[name].landed) / ROWS[name].goal

    def round(self, name: str, seed: int) -> bool:
        """Play one round; whether every promise was kept."""
        progress, files = self.rows[name], self.directory / "rounds" / f"{name}-{seed}"
        shutil.rmtree(files, ignore_errors=True)
        began = time.monotonic()
        try:
            landed = self._play(name, seed, files, long=True)
        except Exception as error:  # noqa: BLE001 - a finding, shown with its seed
            told = "".join(traceback.format_exception(error))
            progress.failures.append({"seed": seed, "error": told})
            self.console.print(
                f"[red]{name} seed {seed} FAILED[/red]; files in {files}\n{told}", highlight=False
            )
            kept = False
        else:
            shutil.rmtree(files)
            progress.landed = dict(Counter(progress.landed) + landed)
            kept = True
        progress.rounds += 1
        progress.seconds += time.monotonic() - began
        progress.next_seed = max(progress.next_seed, seed + 1)
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({row: asdict(each) for row, each in self.rows.items()}, indent=2))
        draft.replace(self.path)
        self.console.print(
            f"{name} seed {seed}: {'kept' if kept else 'BROKEN'}, {time.monotonic() - began:.0f} s",
            highlight=False,
        )
        return kept

    def table(self) -> Table:
        """Every row: what landed so far, over all runs."""
        table = Table(
            "row", "what happens", "rounds", "landed", "of a long run", "failed seeds", title="soak"
        )
        for name, row in ROWS.items():
            progress = self.rows[name]
            failed = ", ".join(str(failure["seed"]) for failure in progress.failures) or "none"
            landed = ", ".join(
                f"{progress.landed[key]:,} {key}" for key in row.counted if key in progress.landed
            )
            cells = [name, row.title, str(progress.rounds), landed, f"{self.share(name):.1%}", failed]
            table.add_row(*cells)
        return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="begin no round after that (30)")
    parser.add_argument("--row", action="append", choices=ROWS, help="only this row; repeatable")
    parser.add_argument("--seed", type=int, help="the first seed (each row goes on with its next one)")
    parser.add_argument("--rounds", type=int, help="at most so many rounds")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    arguments = parser.parse_args()
    if arguments.fresh:
        shutil.rmtree(BUILD, ignore_errors=True)
    logging.disable(logging.CRITICAL)  # what the product says of thousands of faults is nobody's to read
    soak, names = Soak(BUILD, Console()), arguments.row or list(ROWS)
    if arguments.seed is not None:
        for name in names:
            soak.rows[name].next_seed = arguments.seed
    deadline, played, is_kept = time.monotonic() + 60 * arguments.minutes, Counter[str](), True
    while time.monotonic() < deadline and (arguments.rounds is None or played.total() < arguments.rounds):
        # Whoever had the fewest rounds is next; a row that has reached its goal rests.
        waiting = [name for name in names if soak.share(name) < 1 or arguments.seed is not None]
        if not waiting:
            break
        name = min(waiting, key=lambda each: played[each])
        is_kept &= soak.round(name, soak.rows[name].next_seed)
        played[name] += 1
    soak.console.print(soak.table())
    soak.console.print(f"state and report: {soak.path}", highlight=False)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
