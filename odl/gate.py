"""Gates: what a candidate has to show before it may serve. Checks are facts with limits; a page says why.

Three gates, each a list of checks: the model's (finite, calibrated, not worse than the one that serves), the
quality's (thresholds on held-out events, overall and by segment), the integration's (`odl.contract_check`).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from odl.event import Features, Label, Prediction
from odl.prequential import PROBABILITY_MIN, label_name

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

BINS = 15  # of the calibration error; the number of Guo et al. (ICML 2017)
STANDARD_ERRORS = 2.0  # a difference within these may be chance


class GateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[gates]` table of a model file."""

    events_min: Count = 200  # fewer held-out events prove nothing, so they fail the gate
    calibration_error_max: Share = 0.1  # mean |confidence - accuracy| over bins of confidence
    worse_max: NotNegative = 0.01  # how much more an event may cost than with the serving model
    accuracy_min: Share = 0.0  # on held-out events (classification)
    log_loss_max: NotNegative = math.inf  # on held-out events (classification), nats
    mae_max: NotNegative = math.inf  # on held-out events (regression)
    segment_accuracy_min: Share = 0.0  # of every segment with enough events
    segment_events_min: Count = 50  # smaller segments are shown, not judged


class Predictor(Protocol):
    """A model that answers."""

    def predict_one(self, x: Features) -> Prediction:
        """Class -> probability, or a number. Raises `ValueError` for an example that does not fit."""


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled example to judge by."""

    x: Features
    y: Label
    segment: str = ""  # group whose quality is judged for itself


@dataclass(frozen=True, slots=True)
class Check:
    """One fact and its limit."""

    gate: str  # model, quality or integration
    name: str
    passed: bool
    found: str  # what was measured
    wanted: str  # what would have passed


@dataclass(frozen=True, slots=True)
class Judged:
    """What one model did on one set of examples."""

    costs: tuple[float, ...]  # of each example: -ln p(label), or |error|; infinite where it was not finite
    hits: tuple[bool, ...]  # whether the most probable class was the label; empty for regression
    confidences: tuple[float, ...]  # probability of that class; empty for regression
    trouble: str  # the first prediction that was none, else empty

    @property
    def cost(self) -> float:
        """Mean cost of an example."""
        return math.fsum(self.costs) / len(self.costs)

    @property
    def accuracy(self) -> float:
        """Share of hits."""
        return sum(self.hits) / len(self.hits)


def judge(model: Predictor, examples: Sequence[Example]) -> Judged:
    """Predict every example. What is refused or not finite costs infinitely much.

    >>> class Coin:
    ...     def predict_one(self, x):
    ...         return {"heads": 0.5, "tails": 0.5}
    >>> round(judge(Coin(), [Example({}, "heads")]).cost, 4)
    0.6931
    """
    costs, hits, confidences, trouble = [], [], [], ""
    for number, example in enumerate(examples):
        try:
            prediction = model.predict_one(example.x)
        except ValueError as error:
            trouble = trouble or f"example {number} was refused: {error}"
            costs.append(math.inf)
            continue
        values = list(prediction.values()) if isinstance(prediction, dict) else [prediction]
        if not values or not all(math.isfinite(value) for value in values):
            trouble = trouble or f"example {number} was predicted as {prediction}"
            costs.append(math.inf)
        elif isinstance(prediction, dict):
            label = label_name(example.y, prediction)
            best = max(prediction, key=prediction.__getitem__)
            costs.append(-math.log(max(prediction.get(label, 0.0), PROBABILITY_MIN)))
            hits.append(best == label)
            confidences.append(prediction[best])
        else:
            costs.append(abs(prediction - float(example.y)))
    return Judged(tuple(costs), tuple(hits), tuple(confidences), trouble)


def calibration_error(hits: Sequence[bool], confidences: Sequence[float]) -> float:
    """Expected calibration error over `BINS` equal bins of confidence (Guo et al., ICML 2017).

    >>> calibration_error([True, True, False, False], [0.9, 0.9, 0.9, 0.9])
    0.4
    """
    bins: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for hit, confidence in zip(hits, confidences, strict=True):
        bins[min(int(confidence * BINS), BINS - 1)].append((hit, confidence))
    gaps = (abs(sum(hit - confidence for hit, confidence in found)) for found in bins.values())
    return round(math.fsum(gaps) / len(hits), 12)


def model_gate(
    candidate: Predictor,
    serving: Predictor | None,
    recent: Sequence[Example],
    old: Sequence[Example],
    settings: GateSettings,
) -> list[Check]:
    """Finite, calibrated, and not worse than the serving model: on held-out recent events, and on old ones
    (what was learned must not be forgotten)."""
    checks = [
        Check(
            "model",
            "held-out events",
            len(recent) >= settings.events_min,
            str(len(recent)),
            f"at least {settings.events_min}",
        )
    ]
    for name, examples in (("recent", recent), ("old", old)):
        if not examples:
            continue
        judged = judge(candidate, examples)
        checks.append(
            Check("model", f"{name}: finite", not judged.trouble, judged.trouble or "all", "every prediction")
        )
        if name == "recent" and judged.hits and not judged.trouble:
            error = calibration_error(judged.hits, judged.confidences)
            limit = settings.calibration_error_max
            checks.append(
                Check("model", "calibration error", error <= limit, f"{error:.4f}", f"at most {limit:g}")
            )
        if serving is not None:
            checks.append(_not_worse(name, judged, judge(serving, examples), settings))
    return checks


def _not_worse(name: str, candidate: Judged, serving: Judged, settings: GateSettings) -> Check:
    """By paired differences: worse is what is beyond the limit and beyond chance."""
    wanted = f"at most {settings.worse_max:g} more than the serving model, or within chance"
    title = f"{name}: cost against the serving model"
    if candidate.trouble or serving.trouble:
        return Check("model", title, not candidate.trouble, candidate.trouble or serving.trouble, wanted)
    gaps = [mine - theirs for mine, theirs in zip(candidate.costs, serving.costs, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / max(len(gaps) - 1, 1) / len(gaps))
    passed = mean <= settings.worse_max or mean <= STANDARD_ERRORS * spread
    found = f"{candidate.cost:.4f} against {serving.cost:.4f} ({mean:+.4f} ± {spread:.4f})"
    return Check("model", title, passed, found, wanted)


def quality_gate(candidate: Predictor, recent: Sequence[Example], settings: GateSettings) -> list[Check]:
    """Thresholds on held-out events: overall, and for every segment with enough of them."""
    if not recent:
        return [Check("quality", "held-out events", False, "none", f"at least {settings.events_min}")]
    judged = judge(candidate, recent)
    if judged.trouble:
        return [Check("quality", "predictions", False, judged.trouble, "finite ones")]
    if not judged.hits:
        limit = settings.mae_max
        found = f"{judged.cost:.4f}"
        return [Check("quality", "mean absolute error", judged.cost <= limit, found, f"at most {limit:g}")]
    least, most = settings.accuracy_min, settings.log_loss_max
    checks = [
        Check(
            "quality", "accuracy", judged.accuracy >= least, f"{judged.accuracy:.4f}", f"at least {least:g}"
        ),
        Check("quality", "log-loss", judged.cost <= most, f"{judged.cost:.4f}", f"at most {most:g}"),
    ]
    return [*checks, *_segment_checks(recent, judged.hits, settings)]


def _segment_checks(
    recent: Sequence[Example], hits: Sequence[bool], settings: GateSettings
) -> Iterable[Check]:
    segments: dict[str, list[bool]] = defaultdict(list)
    for example, hit in zip(recent, hits, strict=True):
        if example.segment:
            segments[example.segment].append(hit)
    least = settings.segment_accuracy_min
    for segment, found in sorted(segments.items()):
        accuracy, few = sum(found) / len(found), len(found) < settings.segment_events_min
        wanted = "any: too few to judge" if few else f"at least {least:g}"
        yield Check(
            "quality",
            f"accuracy of segment {segment}",
            few or accuracy >= least,
            f"{accuracy:.4f} of {len(found)}",
            wanted,
        )
