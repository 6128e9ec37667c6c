"""Scores of late: over a window of the last events, and fading.

Prequential scores are running sums, so what happened between two samples of them is their difference. Nothing
is added to learning an event; a window begins at a sample, which is as exact as samples are close.

>>> scores, recent = Prequential(), Recent(window=100, half_life=50)
>>> for number in range(400):
...     right = number < 200  # then the world changes
...     scores.update({"a": 0.9, "b": 0.1}, "a" if right else "b")
...     recent.sample(Sums.of(scores))
>>> scores.scores().accuracy, recent.window().accuracy, round(recent.faded().accuracy, 3)
(0.5, 0.0, 0.059)
"""

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from odl.prequential import BINS, BINS_PER_LOGIT, LOGIT_MAX, Prequential

WINDOW = 1_000  # events; a share of 0.5 is then known within 0.03 (two standard errors)
HALF_LIFE = 5_000  # events after which an event counts half
SLICES = 20  # samples kept of a window: it is at most a twentieth too long
CALIBRATION_GROUPS = 10  # tenths of the probability, as reliability diagrams have

Floats = npt.NDArray[np.float64]

_PLAIN = (
    "events",
    "weight_sum",
    "hit_sum",
    "log_loss_sum",
    "base_rate_loss_sum",
    "absolute_sum",
    "square_sum",
)
_PROBABILITIES: Floats = 1 / (1 + np.exp(LOGIT_MAX - (np.arange(BINS) + 0.5) / BINS_PER_LOGIT))
_GROUPS = np.minimum((_PROBABILITIES * CALIBRATION_GROUPS).astype(int), CALIBRATION_GROUPS - 1)


@dataclass(frozen=True, slots=True)
class RecentScores:
    """Scores of some events; None where the task has no such score or nothing was scored."""

    events: float  # events that were scored (fading: what is left of them)
    accuracy: float | None = None
    log_loss: float | None = None  # nats
    base_rate_accuracy: float | None = None  # of always naming the class that was the most frequent of them
    base_rate_log_loss: float | None = None  # of the label frequencies before each event
    auc: float | None = None  # two classes only
    calibration_error: float | None = None  # two classes: mean |predicted - observed| over ten groups
    mae: float | None = None  # regression
    rmse: float | None = None  # regression

    def known(self) -> dict[str, float]:
        """The scores that there are, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Sums:
    """Running sums at one moment; immutable, and may be subtracted."""

    plain: Floats  # [7], in the order of _PLAIN
    labels: dict[str, float]  # class -> weight of its events
    positive: Floats  # [BINS] weights by logit of the score; zeros unless there are two classes
    negative: Floats
    is_regression: bool

    @classmethod
    def of(cls, scores: Prequential) -> "Sums":
        """A copy of the sums now. Tens of microseconds: call it at most a few times a second."""
        return cls(
            np.array([getattr(scores, name) for name in _PLAIN], float),
            dict(scores.label_weights),
            np.array(scores.positive_bins or np.zeros(BINS)),
            np.array(scores.negative_bins or np.zeros(BINS)),
            scores.is_regression,
        )

    @property
    def events(self) -> float:
        """Events counted."""
        return float(self.plain[0])

    def plus(self, other: "Sums", factor: float = 1.0) -> "Sums":
        """These sums and `factor` times others."""
        labels = dict(self.labels)
        for name, weight in other.labels.items():
            labels[name] = labels.get(name, 0.0) + factor * weight
        return Sums(
            self.plain + factor * other.plain,
            labels,
            self.positive + factor * other.positive,
            self.negative + factor * other.negative,
            self.is_regression,
        )

    def scores(self) -> RecentScores:
        """The scores that these sums mean."""
        events, weight, hits, loss, base, absolute, square = self.plain.tolist()
        if events < 1e-9 or weight <= 0:
            return RecentScores(0.0)
        if self.is_regression:
            return RecentScores(events, mae=absolute / weight, rmse=max(0.0, square / weight) ** 0.5)
        return RecentScores(
            events,
            accuracy=hits / weight,
            log_loss=loss / weight,
            base_rate_accuracy=max(self.labels.values(), default=0.0) / weight,
            base_rate_log_loss=base / weight,
            auc=_auc(self.positive, self.negative),
            calibration_error=_calibration_error(self.positive, self.negative),
        )


class Recent:
    """Takes samples of running sums. Not safe to use from several threads."""

    def __init__(self, window: int = WINDOW, half_life: int = HALF_LIFE) -> None:
        self._window = window
        self._half_life = half_life
        self._samples: deque[Sums] = deque()
        self._faded: Sums | None = None

    def sample(self, sums: Sums) -> None:
        """Look at the sums now. Sums that went back (another fold took over) begin anew."""
        events = sums.events
        if self._samples and events == self._samples[-1].events:
            return
        if self._samples and events < self._samples[-1].events:
            self._samples.clear()
            self._faded = None
        if not self._samples:
            # What came before the first look is in no window, unless that is little.
            self._samples.append(_none_like(sums) if events <= self._window else sums)
        added = sums.plus(self._samples[-1], -1.0)
        if added.events:
            keep = 0.5 ** (added.events / self._half_life)
            self._faded = added if self._faded is None else added.plus(self._faded, keep)
        if len(self._samples) > 1 and events - self._samples[-2].events < self._window / SLICES:
            self._samples.pop()  # samples closer than a slice are not worth their memory
        if added.events:
            self._samples.append(sums)
        while len(self._samples) > 2 and events - self._samples[1].events >= self._window:
            self._samples.popleft()

    def window(self) -> RecentScores:
        """Scores of the last events: those of the window, or a slice more."""
        if len(self._samples) < 2:
            return RecentScores(0.0)
        return self._samples[-1].plus(self._samples[0], -1.0).scores()

    def faded(self) -> RecentScores:
        """Scores in which older events count less and less."""
        return RecentScores(0.0) if self._faded is None else self._faded.scores()


def _none_like(sums: Sums) -> Sums:
    zeros = np.zeros(BINS)
    return Sums(np.zeros(len(_PLAIN)), {}, zeros, zeros, sums.is_regression)


def _auc(positive: Floats, negative: Floats) -> float | None:
    pairs = float(positive.sum() * negative.sum())
    if pairs <= 0:
        return None
    below = np.cumsum(negative) - negative
    return min(1.0, max(0.0, float(np.dot(positive, below + negative / 2)) / pairs))


def _calibration_error(positive: Floats, negative: Floats) -> float | None:
    counts = positive + negative
    total = float(counts.sum())
    if total <= 0:
        return None
    expected = np.bincount(_GROUPS, counts * _PROBABILITIES, CALIBRATION_GROUPS)
    observed = np.bincount(_GROUPS, positive, CALIBRATION_GROUPS)
    return float(np.abs(expected - observed).sum()) / total
