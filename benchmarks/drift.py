"""How soon is a drift found, and how often is one found that is none?

Streams whose drifts are known: river's SEA concepts, and Gaussian rows in which the labels swap or one field
moves, widens, swaps its categories or goes missing. Each is folded by a small learner, each event predicted
before it is learned, and shown to the detectors as `odl drift --watch` does. A drift counts as found by the
first report of its series after it; a report elsewhere, or a further one, is a false alarm, which the rows
without drift count over more events. The baseline: Page-Hinkley as river has it, in ADWIN's place; and, if
asked for, KSWIN, which takes milliseconds an event.

`python benchmarks/drift.py [--json FILE] [--size 0.1] [--detectors adwin kswin]`
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from river.datasets import synth

from hedge_model import HedgeLearner, ModelSpec
from odl.drift import Detector, Drift, DriftSettings
from odl.drift_detectors import DriftDetectors
from odl.event import Event, Features, Label
from odl.fold import Learned

EVENTS = 10_000  # of a stream with a drift at half of it
STEADY = 100_000  # of all streams without one together, of each kind
SEEDS = 5
FIELDS = 5
GENERATION = 4_000  # a fifth of the usual, so that detectors change over several times in a stream
KINDS = (
    "concept: SEA",
    "concept: labels swap",
    "value moves",
    "value widens",
    "categories swap",
    "goes missing",
)
SERIES = {
    "value moves": "value",
    "value widens": "spread",
    "categories swap": "value",
    "goes missing": "missing",
}
DETECTORS: tuple[Detector, ...] = ("adwin", "page_hinkley")

Example = tuple[Features, Label]


@dataclass
class Found:
    """What was found on the streams of one kind."""

    delays: list[int]  # events from drift to report
    missed: int
    false_alarms: int
    events: int  # among which there were that many false alarms

    def per_100k(self) -> float:
        return self.false_alarms * 100_000 / self.events


def stream(kind: str, seed: int, drift_at: int | None, events: int) -> Iterator[Example]:
    """Examples that change at `drift_at`; None: they do not change."""
    if kind == "concept: SEA":
        before, after = (iter(synth.SEA(variant=variant, noise=0.1, seed=seed)) for variant in (2, 3))
        for number in range(events):
            x, y = next(before if drift_at is None or number < drift_at else after)
            yield {f"f{name}": value for name, value in x.items()}, str(int(y))
        return
    random = np.random.default_rng(seed)
    direction = random.normal(size=FIELDS)
    for number in range(events):
        row = random.normal(size=FIELDS)
        city = str(random.choice(("Rome", "Oslo", "Lima"), p=(0.6, 0.3, 0.1)))
        label = bool(row @ direction + random.normal() > 0)
        moved = drift_at is not None and number >= drift_at
        x: Features = {f"f{name}": float(value) for name, value in enumerate(row)} | {"city": city}
        if moved and kind == "concept: labels swap":
            label = not label
        elif moved and kind == "value moves":
            x["f0"] = float(row[0] + 0.5)
        elif moved and kind == "value widens":
            x["f0"] = float(row[0] * 1.5)
        elif moved and kind == "categories swap":
            x["city"] = {"Rome": "Oslo", "Oslo": "Rome"}.get(city, city)
        elif moved and kind == "goes missing" and random.random() < 0.1:
            x["f0"] = None
        yield x, str(int(label))


def learned(examples: Iterator[Example]) -> Iterator[Learned]:
    """The examples, each with the prediction before it was learned."""
    learner = HedgeLearner(ModelSpec(task="binary", classes=("0", "1"), hidden_layers=1, width=32))
    for version, (x, y) in enumerate(examples, 1):
        prediction = learner.prequential_one(x, y)
        yield Learned(version, Event(id=str(version), x=x, y=y), prediction)


def reports(events: list[Learned], settings: DriftSettings) -> list[Drift]:
    """Everything that the detectors say."""
    detectors = DriftDetectors(settings)
    return [drift for each in events for drift in detectors.see(each)]


def is_of(kind: str, drift: Drift) -> bool:
    if kind.startswith("concept"):
        return drift.series == "error"
    return drift.series == SERIES[kind] and drift.field == ("city" if kind == "categories swap" else "f0")


def score(found: Found, kind: str, drifts: list[Drift], drift_at: int | None) -> None:
    """Count the reports of one stream. What moves an input may raise the error: that is no false alarm."""
    is_found = False
    for drift in drifts:
        after = drift_at is not None and drift.version > drift_at
        if after and is_of(kind, drift) and not is_found:
            assert drift_at is not None
            found.delays.append(drift.version - drift_at)
            is_found = True
        elif not (after and (drift.series == "error" or drift.field == "f0" and kind.startswith("value"))):
            found.false_alarms += 1
    found.missed += drift_at is not None and not is_found


def measure(size: float, detectors: tuple[Detector, ...] = DETECTORS) -> dict[str, dict[str, Any]]:
    """Every row of the table."""
    rows: dict[str, dict[str, Any]] = {}
    events, steady = max(2_000, int(EVENTS * size)), max(4_000, int(STEADY * size))
    for kind in (*KINDS, "none: SEA", "none: rows"):
        is_steady = kind.startswith("none")
        base = {"none: SEA": "concept: SEA", "none: rows": "value moves"}.get(kind, kind)
        n, drift_at = (steady // SEEDS, None) if is_steady else (events, events // 2)
        found = {name: Found([], 0, 0, 0) for name in detectors}
        seconds = dict.fromkeys(detectors, 0.0)
        for seed in range(SEEDS):
            examples = list(learned(stream(base, seed, drift_at, n)))
            for name in detectors:
                began = time.perf_counter()
                drifts = reports(examples, DriftSettings(error=name, inputs=name, generation=GENERATION))
                seconds[name] += time.perf_counter() - began
                score(found[name], base, drifts, drift_at)
                found[name].events += n
        for name, each in found.items():
            rows[f"{kind} · {name}"] = {
                "found": None if is_steady else len(each.delays),
                "of": None if is_steady else SEEDS,
                "delay_median": statistics.median(each.delays) if each.delays else None,
                "delay_max": max(each.delays, default=None),
                "false_alarms_per_100k": each.per_100k(),
                "microseconds_per_event": seconds[name] / each.events * 1e6,
            }
    return rows


def main() -> None:
    """Print every row; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description="How soon is a drift found, and how often one that is none?")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work (1.0)")
    parser.add_argument(
        "--detectors", nargs="+", choices=("adwin", "kswin", "page_hinkley"), default=DETECTORS
    )
    arguments = parser.parse_args()
    rows = measure(arguments.size, tuple(arguments.detectors))
    table = Table(
        "drift", "detector", "found", "delay, median", "max", "false alarms per 100k", "µs an event"
    )
    for name, row in rows.items():
        kind, _, detector = name.partition(" · ")
        delay = [("" if row[key] is None else f"{row[key]:,.0f}") for key in ("delay_median", "delay_max")]
        found = "" if row["found"] is None else f"{row['found']} of {row['of']}"
        tail = f"{row['false_alarms_per_100k']:.1f}", f"{row['microseconds_per_event']:.0f}"
        table.add_row(kind, detector, found, *delay, *tail)
    Console(width=130).print(table)
    if arguments.json:
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments.json).write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
