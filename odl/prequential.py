"""Prequential scores: every event is scored by the prediction made before it was learned.

>>> scores = Prequential()
>>> for p, y in [(0.9, "late"), (0.2, "on time"), (0.6, "on time"), (0.7, "late")]:
...     scores.update({"on time": 1 - p, "late": p}, y)
>>> scores.scores().accuracy, round(scores.scores().log_loss, 4), scores.scores().auc
(0.75, 0.4004, 1.0)
>>> round(scores.scores().base_rate_log_loss, 4)  # the label frequencies alone
0.8503
"""

import math
from collections.abc import Container, Sequence
from math import log
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from odl.event import Label, Prediction

Floats: TypeAlias = npt.NDArray[np.float64]

PROBABILITY_MIN = 1e-15  # a certain and wrong prediction costs 34.5 nats, not infinity
LOGIT_MAX = 16.0  # scores beyond 1e-7 and 1 - 1e-7 share the outermost bins
BINS_PER_LOGIT = 64  # rare classes keep their resolution near 0, where equal-width bins would not
BINS = int(2 * LOGIT_MAX * BINS_PER_LOGIT)


class Scores(msgspec.Struct, frozen=True):
    """Scores so far; None where the task has no such score, or nothing was scored."""

    events: int  # events scored
    accuracy: float | None  # share of events whose most probable class was the label
    log_loss: float | None  # mean of -ln p(label), nats
    base_rate_log_loss: float | None  # the same for the label frequencies before each event
    auc: float | None  # two classes only; see `Prequential.auc_error_max`
    mae: float | None  # regression: mean absolute error
    rmse: float | None  # regression: root of the mean squared error


class Prequential(msgspec.Struct):
    """Running weighted scores in constant memory, for classification or regression.

    The area under the ROC curve comes from two histograms over the logit of the score, 1/64 wide, in
    which scores of one bin count as ties. `auc_error_max` bounds what that can change.
    """

    events: int = 0
    weight_sum: float = 0.0
    hit_sum: float = 0.0  # weight of the events whose most probable class was right
    log_loss_sum: float = 0.0
    base_rate_loss_sum: float = 0.0
    label_weights: dict[str, float] = {}  # class -> weight of its events; msgspec copies the default
    positive: str = ""  # the class whose probability orders the ROC curve
    positive_bins: list[float] = []  # BINS weights, empty unless there are exactly two classes
    negative_bins: list[float] = []
    absolute_sum: float = 0.0
    square_sum: float = 0.0
    is_regression: bool = False

    def update(self, prediction: Prediction, y: Label, weight: float = 1.0) -> None:
        """Score one event by the prediction that was made before it was learned."""
        self.events += 1
        self.weight_sum += weight
        if isinstance(prediction, dict):
            label = y if type(y) is str else label_name(y, prediction)
            self._update_classes(prediction, label, weight)
        else:
            self.is_regression = True
            error = float(y) - prediction
            self.absolute_sum += weight * abs(error)
            self.square_sum += weight * error * error

    def update_many(
        self,
        classes: Sequence[str],
        predictions: npt.NDArray[np.float64],
        labels: Sequence[Label],
        weights: Sequence[float],
    ) -> None:
        """`update` of one event after the other, to the bit. Predictions are [n, C] for `classes`, or [n, 1]
        for a regression, which has none."""
        if not len(labels):
            return
        share = np.asarray(weights, np.float64)
        if not classes:
            self._update_numbers(predictions[:, 0], np.array([float(y) for y in labels]), share)
            return
        at = {name: index for index, name in enumerate(classes)}
        names = [y if type(y) is str else label_name(y, at) for y in labels]
        if not at.keys() >= {*names, *self.label_weights, self.positive or classes[-1]}:
            # Served predictions, of which some were scored before, may know other classes than the learner.
            for row, y, weight in zip(predictions.tolist(), labels, weights, strict=True):
                self.update(dict(zip(classes, row, strict=True)), y, weight)
            return
        columns = np.array([at[name] for name in names])
        found = predictions[np.arange(len(names)), columns]
        if len(classes) == 2:
            self._update_bins_many(classes, predictions, names, weights)
        elif self.positive_bins:
            self.positive_bins, self.negative_bins = [], []
        self.events += len(names)
        self.hit_sum = _summed(self.hit_sum, np.where(predictions.argmax(axis=1) == columns, share, 0.0))
        costs = share * _logs(np.where(found > PROBABILITY_MIN, found, PROBABILITY_MIN))
        self.log_loss_sum = _summed(self.log_loss_sum, -costs)
        sums = np.add.accumulate([self.weight_sum, *weights])[1:]
        self.weight_sum = float(sums[-1])
        seen, counts = [], self.label_weights
        for name, weight in zip(names, weights, strict=True):
            seen.append(before := counts.get(name, 0.0))
            counts[name] = before + weight
        base = share * _logs((np.array(seen) + 1.0) / ((sums - share) + len(classes)))
        self.base_rate_loss_sum = _summed(self.base_rate_loss_sum, -base)

    def _update_numbers(self, predicted: Floats, targets: Floats, weights: Floats) -> None:
        self.events += len(targets)
        self.is_regression = True
        errors = targets - predicted
        self.weight_sum = _summed(self.weight_sum, weights)
        self.absolute_sum = _summed(self.absolute_sum, weights * np.abs(errors))
        self.square_sum = _summed(self.square_sum, weights * errors * errors)

    def _update_classes(self, prediction: dict[str, float], label: str, weight: float) -> None:
        # Every event of a catch-up comes through here: conditions are cheaper than calls of max.
        counts, n_classes = self.label_weights, len(prediction)
        probability = prediction.get(label)
        seen = counts.get(label, 0.0)
        if probability is None:
            probability, n_classes = 0.0, len(counts) + 1
        else:
            if max(prediction, key=prediction.__getitem__) == label:
                self.hit_sum += weight
            if len(counts) > n_classes:
                n_classes = len(counts)
        self.log_loss_sum -= weight * log(probability if probability > PROBABILITY_MIN else PROBABILITY_MIN)
        counted = self.weight_sum - weight  # what was seen before this event
        self.base_rate_loss_sum -= weight * log((seen + 1.0) / (counted + n_classes))
        counts[label] = seen + weight
        if len(prediction) == 2:
            self._update_bins(prediction, label, weight)
        elif self.positive_bins:  # a third class appeared: the curve is no longer defined
            self.positive_bins, self.negative_bins = [], []

    def _update_bins(self, prediction: dict[str, float], label: str, weight: float) -> None:
        if not self.positive_bins:
            if self.events > 1:
                return  # the classes were not always two
            self.positive = list(prediction)[-1]
            self.positive_bins, self.negative_bins = [0.0] * BINS, [0.0] * BINS
        bins = self.positive_bins if label == self.positive else self.negative_bins
        bins[_bin(prediction.get(self.positive, 0.0))] += weight

    def _update_bins_many(
        self, classes: Sequence[str], predictions: Floats, names: Sequence[str], weights: Sequence[float]
    ) -> None:
        if not self.positive_bins:
            if self.events:
                return
            self.positive = classes[-1]
            self.positive_bins, self.negative_bins = [0.0] * BINS, [0.0] * BINS
        positive, above, below = self.positive, self.positive_bins, self.negative_bins
        scores = predictions[:, classes.index(positive)].tolist()
        for name, score, weight in zip(names, scores, weights, strict=True):
            (above if name == positive else below)[_bin(score)] += weight

    def auc(self) -> float | None:
        """Area under the ROC curve by the histograms; None without both classes."""
        positive, negative = np.array(self.positive_bins), np.array(self.negative_bins)
        pairs = positive.sum() * negative.sum()
        if not pairs:
            return None
        below = np.cumsum(negative) - negative
        return float(np.dot(positive, below + negative / 2) / pairs)

    def auc_error_max(self) -> float:
        """How far `auc` can be from the exact value: half of the share of pairs within one bin."""
        positive, negative = np.array(self.positive_bins), np.array(self.negative_bins)
        pairs = positive.sum() * negative.sum()
        return float(np.dot(positive, negative) / 2 / pairs) if pairs else 0.0

    def scores(self) -> Scores:
        """The scores so far."""
        if not self.weight_sum:
            return Scores(0, None, None, None, None, None, None)
        n = self.weight_sum
        if self.is_regression:
            rmse = math.sqrt(self.square_sum / n)
            return Scores(self.events, None, None, None, None, self.absolute_sum / n, rmse)
        loss, base = self.log_loss_sum / n, self.base_rate_loss_sum / n
        return Scores(self.events, self.hit_sum / n, loss, base, self.auc(), None, None)


def label_name(y: Label, classes: Container[str] = ()) -> str:
    """The class that a label means: 1 and 1.0 are "1"; True is "true", or "1" where that is a class.

    >>> label_name("late"), label_name(3.0), label_name(True), label_name(True, ["0", "1"])
    ('late', '3', 'true', '1')
    """
    if isinstance(y, str):
        return y
    if isinstance(y, bool) and not ("1" in classes or "0" in classes):
        return "true" if y else "false"
    return str(int(y)) if float(y).is_integer() else str(y)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Exact area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half.

    Raises `ValueError` unless both classes occur. O(n log n), by midranks (Mann-Whitney U).

    >>> auc([0.1, 0.4, 0.4, 0.8], [False, False, True, True])
    0.875
    """
    values, positive = np.asarray(scores, float), np.asarray(labels, bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        raise ValueError(f"expected both classes, received {n_positive} positive and {n_negative} negative")
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    midranks = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = float(midranks[group[positive]].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _summed(start: float, terms: Floats) -> float:
    """The sum from left to right, as a loop makes it; NumPy's own sum pairs its terms."""
    return float(np.add.accumulate(np.concatenate(([start], terms)))[-1])


def _logs(values: Floats) -> Floats:
    """By the logarithm that single events are scored with; NumPy's own differs in the last bit."""
    return np.array(list(map(log, values.tolist())))


def _bin(probability: float) -> int:
    if probability <= 0.0:
        return 0
    if probability >= 1.0:
        return BINS - 1
    at = int((log(probability / (1.0 - probability)) + LOGIT_MAX) * BINS_PER_LOGIT)
    return 0 if at < 0 else BINS - 1 if at >= BINS else at
