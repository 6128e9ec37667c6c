"""Detectors of drift, from river, on a model's error and on each field: functions of the log alone.

What detectors see is made comparable first. The error is 1 - p(label), for numbers |e| / (|e| + usual |e|).
A field's first values are a reference; what comes later is its place among them, 0 to 1, which shows shifts
of any distribution, and how far from the middle that is, which shows changes of spread. Categories are lined
up by how frequent they were. Whether a value is missing is a third series.

River's detectors keep their state in compiled objects that cannot be written down without pickle, so nothing
is written down: at every multiple of `generation` versions new ones begin, and after one more generation they
take over. The verdict at a version therefore depends on at most two generations before it, and a process that
starts folds those again and says the same (`begin_at`).
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from odl.drift import ERROR, Detector, Drift, DriftSettings, Series
from odl.errors import Misconfigured
from odl.event import Features, Label, Prediction, Value
from odl.fold import Learned
from odl.prequential import label_name

REFERENCE = 300  # first values of a field: its quantiles are then known within 0.03
RECENT = 100  # values whose mean is the "after" of a drift
FIELDS_MAX = 256  # watched, by order of appearance; each costs some microseconds an event
SEED = 1  # of KSWIN's sampling


def river_detector(kind: Detector, significance: float) -> Any:
    """A new detector. Raises `Misconfigured` without the extra `drift`."""
    try:
        drift: Any = import_module("river.drift")
    except ImportError as error:
        raise Misconfigured("drift detectors need the extra `drift`: pip install 'odl[drift]'") from error
    if kind == "adwin":
        return drift.ADWIN(delta=significance)
    if kind == "kswin":
        return drift.KSWIN(alpha=significance, seed=SEED)
    return drift.PageHinkley()


class SeriesWatch:
    """One series of values from 0 to 1, and a detector on it."""

    def __init__(self, kind: Detector, significance: float) -> None:
        self._detector = river_detector(kind, significance)
        self._clear()

    def _clear(self) -> None:
        self._sum = 0.0  # of values before the recent ones
        self._count = 0
        self._recent: deque[float] = deque()

    def update(self, value: float) -> tuple[float, float] | None:
        """Look at the next value: the means before and after, if the detector is sure that they differ."""
        recent = self._recent
        recent.append(value)
        if len(recent) > RECENT:
            self._sum += recent.popleft()
            self._count += 1
        self._detector.update(value)
        if not self._detector.drift_detected:
            return None
        after = sum(recent) / len(recent)
        before = self._sum / self._count if self._count else after
        self._clear()
        return before, after


class FieldWatch:
    """One field: its reference, then its series."""

    def __init__(self, kind: Detector, significance: float) -> None:
        self._kind, self._significance = kind, significance
        self._missing = self._new()
        self._begin()

    def _begin(self) -> None:
        self._first: list[Value] = []
        self._sorted: list[float] = []  # reference of numbers
        self._places: dict[str, float] = {}  # reference of categories
        self._value, self._spread = self._new(), self._new()

    def _new(self) -> SeriesWatch:
        return SeriesWatch(self._kind, self._significance)

    def update(self, value: Value) -> Iterator[tuple[Series, float, float]]:
        """The drifts that the next value of the field, None if it is missing, makes sure."""
        found = self._missing.update(float(value is None))
        if found:
            yield "missing", *found
        if value is None:
            return
        if len(self._first) < REFERENCE:
            self._first.append(value)
            if len(self._first) == REFERENCE:
                self._refer()
            return
        place = self._place(value)
        moved, widened = self._value.update(place), self._spread.update(abs(2 * place - 1))
        if moved:
            yield "value", *moved
        if widened:
            yield "spread", *widened
        if moved or widened:
            self._begin()  # what comes from now on is compared with now

    def _refer(self) -> None:
        if all(_is_number(value) for value in self._first):
            self._sorted = sorted(float(value) for value in self._first if value is not None)
            return
        counts = Counter(_category(value) for value in self._first)
        passed = 0
        for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
            self._places[name] = (passed + count / 2) / REFERENCE
            passed += count

    def _place(self, value: Value) -> float:
        """Where the value is among those of the reference, 0 to 1; a category that was not there is at 1."""
        if not self._sorted:
            return self._places.get(_category(value), 1.0)
        if not _is_number(value) or value is None:
            return 1.0
        number, ordered = float(value), self._sorted
        return (bisect_left(ordered, number) + bisect_right(ordered, number)) / (2 * REFERENCE)


class ErrorWatch:
    """The model's error before learning; only a rise is a drift, since learning lowers it."""

    def __init__(self, kind: Detector, significance: float) -> None:
        self._kind, self._significance = kind, significance
        self._begin()

    def _begin(self) -> None:
        self._series = SeriesWatch(self._kind, self._significance)
        self._sizes: list[float] = []  # of the first errors of a regression

    def update(self, prediction: Prediction, y: Label) -> tuple[float, float] | None:
        """Look at the next event: mean error before and after, if it has risen."""
        if isinstance(prediction, dict):
            error = 1.0 - prediction.get(label_name(y, prediction), 0.0)
        else:
            size = abs(float(y) - prediction)
            if len(self._sizes) < REFERENCE:
                self._sizes.append(size)
                return None
            usual = math.fsum(self._sizes) / REFERENCE
            error = size / (size + usual) if size else 0.0
        found = self._series.update(error)
        if not found:
            return None
        if not isinstance(prediction, dict):
            self._begin()
        return found if found[1] > found[0] else None


class _Generation:
    """Detectors that began together."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._error = ErrorWatch(settings.error, settings.significance)
        self.fields: dict[str, FieldWatch] = {}

    def see(self, learned: Learned) -> Iterator[Drift]:
        settings, event = self._settings, learned.event
        found = self._error.update(learned.prediction, event.y)
        if found:
            yield from self._drift(learned.version, ERROR, "error", settings.error, found)
        if settings.inputs == "none":
            return
        self._meet(event.x)
        for name, watch in self.fields.items():
            for series, before, after in watch.update(event.x.get(name)):
                yield from self._drift(learned.version, name, series, settings.inputs, (before, after))

    def _meet(self, x: Features) -> None:
        for name in sorted(x.keys() - self.fields.keys()):
            if len(self.fields) < FIELDS_MAX and name not in self._settings.ignore:
                kind = self._settings.inputs
                assert kind != "none"
                self.fields[name] = FieldWatch(kind, self._settings.input_significance)

    def _drift(
        self, version: int, field: str, series: Series, detector: Detector, means: tuple[float, float]
    ) -> Iterator[Drift]:
        before, after = means
        if abs(after - before) >= self._settings.size_min:
            yield Drift(
                version=version, field=field, series=series, detector=detector, before=before, after=after
            )


class DriftDetectors:
    """All detectors of one model. Show them every event that is learned from the version of `begin_at` on."""

    def __init__(self, settings: DriftSettings, begun_at: int = 0) -> None:
        """Detectors that begin after version `begun_at`. Where that is no multiple of a generation, because
        nothing leads there any more, they judge at once by what they see, for the first two generations.
        Raises `Misconfigured` without the extra `drift`."""
        self._settings = settings
        self._number, late = divmod(begun_at, settings.generation)
        self._next = _Generation(settings)
        self._voting = self._next if late or not begun_at else None

    def see(self, learned: Learned) -> list[Drift]:
        """Look at an event that was just learned: the drifts that it makes sure."""
        number = (learned.version - 1) // self._settings.generation
        if number > self._number:
            # Where a whole generation taught nothing, nothing is known.
            self._voting = self._next if number == self._number + 1 else _Generation(self._settings)
            self._next, self._number = _Generation(self._settings), number
        drifts = list(self._voting.see(learned)) if self._voting else []
        if self._next is not self._voting:
            for _ in self._next.see(learned):
                pass  # it has no vote yet
        return drifts

    def watched(self) -> list[tuple[str, Detector]]:
        """Every field that has detectors now, and which."""
        inputs = self._settings.inputs
        names = list(self._next.fields)
        return [(ERROR, self._settings.error), *((name, inputs) for name in names if inputs != "none")]


def begin_at(version: int, generation: int) -> int:
    """The version after which detectors have to begin, so that their verdicts after `version` are those of
    detectors that never stopped.

    >>> begin_at(15, 10), begin_at(25, 10), begin_at(30, 10), begin_at(31, 10)
    (0, 10, 20, 20)
    """
    return max(0, version // generation - 1) * generation


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _category(value: Value) -> str:
    return value if isinstance(value, str) else repr(value)
