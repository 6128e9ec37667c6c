"""How good is the learner on streams, and against what a user could pick instead?

Every event is predicted, then learned (flights: learned when it has landed); one pass, one setting for all
streams. µs are processor time for predicting and learning one event given as a dict. Ratios are against
"ours" in the same run, on the same events. river's forest is slow and learns the first `--slow-max` events
only. Examples:

    python benchmarks/quality.py
    python benchmarks/quality.py --streams elec --data elec.csv --label class
    python benchmarks/quality.py --streams syn8 --events-max 1000000 --learners ours paper fixed:2 fixed:4
    python benchmarks/quality.py --learners ours ours:hidden_layers=3 ours:ramps=0
"""

import argparse
import heapq
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from quality_parts.learners import DEFAULT, Candidate, Choice, choose
from quality_parts.scores import Tally
from quality_parts.streams import Example, Stream, all_streams, of_file
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

REFERENCE = "ours"
FIRST = 500  # events of the score that tells how fast a learner starts
BATCH = 500  # events timed at once; scoring stays outside
WARM_UP = 100  # events learned before the clock runs, by a learner that is thrown away
WIDTH = 130  # characters of the tables, also where there is no terminal
COLUMNS = {  # score -> heading and digits
    "events": ("events", 0),
    "first": (f"first {FIRST}", 4),
    "accuracy": ("accuracy", 4),
    "kappa": ("kappa", 3),
    "auc": ("AUC", 4),
    "log_loss": ("log-loss", 4),
    "calibration_error": ("calibration", 4),
    "mae": ("MAE", 4),
    "rmse": ("RMSE", 4),
    "us": ("µs", 1),
}


def fold(candidate: Candidate, examples: Iterable[Example]) -> Iterator[tuple[Any, Any, float]]:
    """(prediction, label, seconds so far) of each event; labels are learned when they are known."""
    pending: list[tuple[int, int, Example]] = []
    seconds, number, source = 0.0, 0, iter(examples)
    while batch := list(islice(source, BATCH)):
        predictions = []
        start = time.thread_time()
        for example in batch:
            while pending and pending[0][0] <= example.asked:
                late = heapq.heappop(pending)[2]
                candidate.learn(late.x, late.y)
            if example.known <= example.asked:
                predictions.append(candidate.predict_then_learn(example.x, example.y))
            else:
                predictions.append(candidate.predict(example.x))
                heapq.heappush(pending, (example.known, number, example))
            number += 1
        seconds += time.thread_time() - start
        for example, prediction in zip(batch, predictions, strict=True):
            yield prediction, example.y, seconds


def measure(stream: Stream, choice: Choice, events: int, slow_max: int, progress: Progress) -> dict[str, Any]:
    """Scores of one learner on the first `events` of a stream, and in "prefix" those after `slow_max`."""

    def examples(count: int) -> Iterator[Example]:
        return islice(stream.examples(events), count)

    count = min(events, slow_max) if choice.is_slow else events
    for _ in fold(choice.make(stream), examples(WARM_UP)):
        pass
    tally, spent, found = Tally(stream.classes), 0.0, {}
    bar = progress.add_task(f"{stream.name}: {choice.name}", total=count)
    for prediction, y, seconds in fold(choice.make(stream), examples(count)):
        tally.update(prediction, y)
        spent = seconds
        if tally.events == FIRST:
            found["first"] = tally.scores().get("accuracy")
        if tally.events == slow_max:
            found["prefix"] = tally.scores()
        if not tally.events % BATCH:
            progress.update(bar, completed=tally.events)
    progress.remove_task(bar)
    found |= tally.scores() | {"us": spent / max(tally.events, 1) * 1e6}
    return {name: value for name, value in found.items() if value is not None}


def compare(results: dict[str, dict[str, dict[str, Any]]], name: str) -> dict[str, float]:
    """Means of a learner over the streams with classes, and how it stands to ours on the same events."""
    rows: list[tuple[dict[str, Any], dict[str, Any], float]] = []
    for of_stream in results.values():
        if name in of_stream and REFERENCE in of_stream and "accuracy" in of_stream[name]:
            theirs, ours = of_stream[name], of_stream[REFERENCE]
            same = ours if theirs["events"] == ours["events"] else ours["prefix"]
            rows.append((theirs, same, theirs["us"] / ours["us"]))
    if not rows:
        return {}

    def mean(score: str, which: int) -> float:
        return math.fsum(row[which][score] for row in rows) / len(rows)  # type: ignore[index]

    return {
        "streams": len(rows),
        "accuracy": mean("accuracy", 0),
        "accuracy_of_ours": mean("accuracy", 1),
        "log_loss": mean("log_loss", 0),
        "log_loss_of_ours": mean("log_loss", 1),
        "calibration_error": mean("calibration_error", 0),
        "better_on": sum(theirs["accuracy"] > ours["accuracy"] for theirs, ours, _ in rows),
        "us_over_ours": math.exp(math.fsum(math.log(ratio) for *_, ratio in rows) / len(rows)),
    }


def show(console: Console, results: dict[str, dict[str, dict[str, Any]]], summary: dict[str, Any]) -> None:
    """Print both tables."""
    used = {score for of_stream in results.values() for row in of_stream.values() for score in row}
    scores = [score for score in COLUMNS if score in used]
    table = Table("stream", "learner", box=None)
    for score in scores:
        table.add_column(COLUMNS[score][0], justify="right")
    for stream, of_stream in results.items():
        for number, (learner, row) in enumerate(of_stream.items()):
            cells = [f"{row[s]:,.{COLUMNS[s][1]}f}" if s in row else "" for s in scores]
            table.add_row("" if number else stream, learner, *cells)
        table.add_section()
    console.print(table)
    if not any(summary.values()):
        return
    table = Table("mean over streams with classes", box=None)
    for heading in ("streams", "accuracy", "ours there", "better on", "log-loss", "ours there", "µs / ours"):
        table.add_column(heading, justify="right")
    for learner, row in summary.items():
        if row:
            table.add_row(
                learner,
                f"{row['streams']}",
                f"{row['accuracy']:.4f}",
                f"{row['accuracy_of_ours']:.4f}",
                f"{row['better_on']}",
                f"{row['log_loss']:.4f}",
                f"{row['log_loss_of_ours']:.4f}",
                f"{row['us_over_ours']:.2f}",
            )
    console.print(table)


def run(
    streams: Sequence[Stream], choices: Sequence[Choice], events_max: int, slow_max: int, console: Console
) -> dict[str, dict[str, dict[str, Any]]]:
    """Stream -> learner -> scores."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with Progress(console=console, transient=True) as progress:
        total = progress.add_task("all", total=len(streams) * len(choices))
        for stream in streams:
            results[stream.name] = {}
            for choice in choices:
                events = min(stream.length, events_max)
                results[stream.name][choice.name] = measure(stream, choice, events, slow_max, progress)
                progress.advance(total)
    return results


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", nargs="+", metavar="NAME", help="default: all, and those of --data")
    parser.add_argument(
        "--data", nargs="+", type=Path, default=[], metavar="FILE", help="CSV, or NPZ of X, y"
    )
    parser.add_argument("--label", help="the column to predict of --data's CSVs; the last by default")
    parser.add_argument("--learners", nargs="+", default=DEFAULT, metavar="NAME")
    parser.add_argument("--events-max", type=int, default=10_000, help="of each stream")
    parser.add_argument("--slow-max", type=int, default=2_000, help="of each stream, for river-arf")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    arguments = parser.parse_args()
    choices = [choose(name) for name in dict.fromkeys(arguments.learners)]
    files = {stream.name: stream for stream in (of_file(path, arguments.label) for path in arguments.data)}
    known = all_streams() | files
    names = arguments.streams or list(files or known)
    if missing := [name for name in names if name not in known]:
        raise SystemExit(f"no stream {', '.join(missing)}: there are {', '.join(known)}")
    results = run(
        [known[name] for name in names],
        choices,
        arguments.events_max,
        arguments.slow_max,
        Console(stderr=True),
    )
    summary = {choice.name: compare(results, choice.name) for choice in choices}
    wide = Console()
    wide.width = max(wide.width, WIDTH)
    show(wide, results, summary)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "question": (__doc__ or "").splitlines()[0],
            "events_max": arguments.events_max,
            "slow_max": arguments.slow_max,
            "sources": {name: known[name].source for name in names},
            "streams": results,
            "summary": summary,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
