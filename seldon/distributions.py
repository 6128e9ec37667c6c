"""What is asked and answered of late, against a reference: has the world that this model sees changed?

A sample of the answered rows passes through here, off the way of a request. The first `REFERENCE_ROWS` of
them are the reference; the last `WINDOW_ROWS` are compared with it by the population stability index,
PSI = sum (p - q) ln(p / q) over ten quantiles (or twenty categories, the rest together) and one bin for
missing values. Below 0.1 is noise, above 0.25 a change worth a look (Siddiqi, Credit Risk Scorecards, 2006).
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import numpy as np

from odl.event import Value

Row: TypeAlias = Mapping[str, Value]

REFERENCE_ROWS = 1_000
WINDOW_ROWS = 1_000
FIELDS_MAX = 64  # fields that are looked at: each is a few time series
QUANTILES = 10
COMPARED_ROWS_MIN = 200  # of fewer, the index is mostly noise
CATEGORIES_MAX = 20  # categories with a bin of their own
SHARE_MIN = 1e-4  # an empty bin counts as that share: infinity helps nobody

_MISSING = -1
_OTHER = -2


class Reference:
    """The bins of one field, as its reference values suggest them."""

    def __init__(self, values: list[Value]) -> None:
        present = [value for value in values if value is not None]
        numbers = [float(value) for value in present if _is_number(value)]
        self.is_number = bool(present) and len(numbers) == len(present)
        self.edges: list[float] = []
        self.categories: dict[Value, int] = {}
        self.known: set[Value] = set()
        if self.is_number:
            # Equal quantiles (a value that is very frequent) are one edge.
            inner = np.quantile(numbers, np.arange(1, QUANTILES) / QUANTILES)
            self.edges = sorted(set(inner.tolist()))
        else:
            frequent = Counter(present).most_common(CATEGORIES_MAX)
            self.categories = {value: at for at, (value, _) in enumerate(frequent)}
            self.known = set(present)
        self.shares = shares(Counter(self.bin(value) for value in values))

    def bin(self, value: Value) -> int:
        """The bin of a value; `_MISSING` and `_OTHER` are bins, too."""
        if value is None:
            return _MISSING
        if self.is_number:
            return bisect_right(self.edges, float(value)) if _is_number(value) else _OTHER
        return self.categories.get(value, _OTHER)

    def is_unseen(self, value: Value) -> bool:
        """Whether this is a category that the reference does not hold."""
        return value is not None and not self.is_number and value not in self.known


@dataclass(frozen=True, slots=True)
class FieldState:
    """One field of late."""

    psi: float  # population stability index of the window against the reference
    missing: float  # share of rows without a value
    unseen: float  # share of rows with a category that the reference does not hold


class Distributions:
    """Rows of named values, against a reference. One thread at a time."""

    def __init__(self, reference_rows: int = REFERENCE_ROWS, window_rows: int = WINDOW_ROWS) -> None:
        self._reference_rows = reference_rows
        self._waiting: list[Row] = []  # until they are the reference
        self._references: dict[str, Reference] = {}
        self._window: deque[list[tuple[int, bool]]] = deque(maxlen=window_rows)
        self.fields_left_out = 0  # fields beyond FIELDS_MAX, which nobody looks at

    def add(self, row: Row) -> None:
        """One more row."""
        if not self._references:
            self._waiting.append(row)
            if len(self._waiting) >= self._reference_rows:
                self._begin()
            return
        found = []
        for name, reference in self._references.items():
            value = row.get(name)
            found.append((reference.bin(value), reference.is_unseen(value)))
        self._window.append(found)

    @property
    def rows(self) -> int:
        """Rows in the window."""
        return len(self._window)

    def states(self) -> dict[str, FieldState]:
        """Every field of late; empty until there is a reference and enough to compare with it."""
        n = len(self._window)
        if n < COMPARED_ROWS_MIN:
            return {}
        states = {}
        for at, (name, reference) in enumerate(self._references.items()):
            bins = Counter(row[at][0] for row in self._window)
            unseen = sum(row[at][1] for row in self._window)
            states[name] = FieldState(psi(shares(bins), reference.shares), bins[_MISSING] / n, unseen / n)
        return states

    def ratios(self, name: str) -> dict[str, float]:
        """The share of every category of a field in the window, those without a bin as `other`."""
        reference = self._references.get(name)
        if reference is None or len(self._window) < COMPARED_ROWS_MIN:
            return {}
        at, n = list(self._references).index(name), len(self._window)
        bins = Counter(row[at][0] for row in self._window)
        named = {str(value): bins[number] / n for value, number in reference.categories.items()}
        return named | {"other": (bins[_OTHER] + bins[_MISSING]) / n}

    def _begin(self) -> None:
        names = sorted({name for row in self._waiting for name in row})
        self.fields_left_out = max(0, len(names) - FIELDS_MAX)
        self._references = {
            name: Reference([row.get(name) for row in self._waiting]) for name in names[:FIELDS_MAX]
        }
        self._waiting = []


def shares(counts: Mapping[int, int]) -> dict[int, float]:
    """Counts as shares."""
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def psi(now: Mapping[int, float], before: Mapping[int, float]) -> float:
    """The population stability index of two distributions over the same bins.

    >>> psi({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    0.0
    >>> round(psi({0: 0.9, 1: 0.1}, {0: 0.5, 1: 0.5}), 3)
    0.879
    """
    total = 0.0
    for name in {*now, *before}:
        p, q = max(now.get(name, 0.0), SHARE_MIN), max(before.get(name, 0.0), SHARE_MIN)
        total += (p - q) * log(p / q)
    return total


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
