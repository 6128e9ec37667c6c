"""Which claims of the paper's Table 4 hold, and what changes with the length of the stream?

The paper's network hedged over 20 layers (HBP) and over 5, the same at fixed depths, and this project's
default, on Syn8, CD1 and CD2 as the paper describes them: each event predicted, then learned, one pass. Error
over everything so far and over the last tenth of it, at growing lengths. µs are processor time of the
compiled loop; the learners take turns, a thousand events each. Examples:

    python benchmarks/table4.py
    python benchmarks/table4.py --streams syn8 --events-max 3000000
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality_parts.learners import Ours, choose
from quality_parts.made import CONCEPTS, concept_blocks, of_concepts
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hedge_model import HedgeLearner

LEARNERS = (
    *("paper", "ours:preset=paper,hidden_layers=5"),
    *("fixed:2", "fixed:3", "fixed:4", "fixed:8", "fixed:16", "fixed:20", "ours"),
)
MARKS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
WARM_UP = 10  # events
WIDTH = 130  # characters of the tables, also where there is no terminal


def network(stream: str, learner: str) -> HedgeLearner:
    """The learner of this name for the stream. Raises `SystemExit` if it is none of this project's."""
    candidate = choose(learner).make(of_concepts(stream, CONCEPTS[stream]))
    if not isinstance(candidate, Ours):
        raise SystemExit(f"expected this project's learners (ours, paper, fixed:N, …), received '{learner}'")
    return candidate.learner


def errors(wrong: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The share of wrong predictions, and that in the last tenth."""
    return float(wrong.mean()), float(wrong[-max(len(wrong) // 10, 1) :].mean())


def measure(stream: str, learners: Sequence[str], count: int, console: Console) -> dict[str, dict[str, Any]]:
    """Learner -> µs, and length -> error up to there and in the last tenth before; said as soon as known."""
    for X, y in concept_blocks(CONCEPTS[stream], WARM_UP):  # compiles, by learners that are thrown away
        for learner in learners:
            network(stream, learner).prequential_many(X, y)
    models = {learner: network(stream, learner) for learner in learners}
    wrong = {learner: np.zeros(count, bool) for learner in learners}
    found: dict[str, dict[str, Any]] = {learner: {"seconds": 0.0, "errors": {}} for learner in learners}
    marks, at = sorted({mark for mark in MARKS if mark < count} | {count}), 0
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(stream, total=count)
        for X, y in concept_blocks(CONCEPTS[stream], count):
            for learner, model in models.items():
                start = time.thread_time()
                said = model.prequential_many(X, y)
                found[learner]["seconds"] += time.thread_time() - start
                wrong[learner][at : at + len(y)] = said.argmax(1) != y
            at += len(y)
            progress.update(bar, completed=at)
            while marks and marks[0] <= at:
                mark = marks.pop(0)
                for learner in learners:
                    all_of_it, late = found[learner]["errors"][mark] = errors(wrong[learner][:mark])
                    console.print(f"{stream} {mark:,} {learner}: {all_of_it:.4f} · {late:.4f}")
    for of_learner in found.values():
        of_learner["us"] = of_learner.pop("seconds") / count * 1e6
    return found


def show(console: Console, results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Error · error in the last tenth, for every length; µs as a multiple of the first learner's."""
    for stream, of_stream in results.items():
        first = next(iter(of_stream.values()))
        table = Table(stream, *(f"{mark:,}" for mark in first["errors"]), "µs", "×", box=None)
        for learner, row in of_stream.items():
            cells = [f"{all_of_it:.4f} · {late:.4f}" for all_of_it, late in row["errors"].values()]
            table.add_row(learner, *cells, f"{row['us']:.1f}", f"{row['us'] / first['us']:.2f}")
        console.print(table)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", nargs="+", choices=list(CONCEPTS), default=list(CONCEPTS))
    parser.add_argument("--learners", nargs="+", default=LEARNERS, metavar="NAME")
    parser.add_argument("--events-max", type=int, default=10_000, help="of each stream")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    arguments = parser.parse_args()
    said = Console(stderr=True)
    results = {
        stream: measure(stream, arguments.learners, arguments.events_max, said)
        for stream in arguments.streams
    }
    wide = Console()
    wide.width = max(wide.width, WIDTH)
    show(wide, results)
    if arguments.json:
        report = {"question": (__doc__ or "").splitlines()[0], "streams": results}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
