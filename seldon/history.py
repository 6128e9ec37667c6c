"""What a replica has been through: points for charts, as many as fit, the oldest make room.

A point holds the running scores and those over the last events alone, which show a change at once where
running scores have a long memory.

>>> history, scores = History(), Prequential()
>>> for second, label in enumerate(("a", "a", "b", "b")):
...     scores.update({"a": 0.75, "b": 0.25}, label)
...     history.take(Tally(float(second), version=scores.events, sums=Sums.of(scores)))
>>> last = history.points[-1]
>>> last.version, last.accuracy, last.log_loss, last.events_per_s
(4, 0.5, 0.83699, 1.0)
"""

from collections import deque
from dataclasses import dataclass

import msgspec

from odl.prequential import Prequential
from odl.recent import Recent, RecentScores, Sums

POINTS_MAX = 600  # ten minutes of learning at one point a second; a page shows no more


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of a replica at one moment."""

    time: float  # Unix seconds
    version: int
    sums: Sums  # of its scores
    predictions: int = 0  # answered since the process began
    weights: tuple[float, ...] = ()  # of the depths, sum 1


class Point(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One point of the charts; None where the task has no such score, or nothing was scored. `recent` and
    `base` are over the last `odl.recent.WINDOW` events, the others since the fold began."""

    time: float  # Unix seconds
    version: int
    events_per_s: float = 0.0  # learned since the point before
    predictions_per_s: float = 0.0
    accuracy: float | None = None
    accuracy_recent: float | None = None
    accuracy_base: float | None = None  # of always naming the class that was the most frequent of them
    log_loss: float | None = None  # nats
    log_loss_recent: float | None = None
    log_loss_base: float | None = None  # of the label frequencies before each event
    auc: float | None = None
    auc_recent: float | None = None
    mae: float | None = None
    mae_recent: float | None = None
    rmse: float | None = None
    rmse_recent: float | None = None
    weights: tuple[float, ...] = ()


class History:
    """The points of one replica, oldest first. One thread takes; `points` may be copied by another."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self.points: deque[Point] = deque(maxlen=points_max)
        self._recent = Recent()
        self._last: Tally | None = None

    def take(self, tally: Tally) -> None:
        """Add the next moment. While nothing happens the last point moves along, so that idle hours do not
        push out what was learned before; where history was lost, the points begin anew."""
        last, self._last = self._last, tally
        if last is not None and tally.version < last.version:
            self.points.clear()
            last = None
        self._recent.sample(tally.sums)
        point = _point(tally, last, self._recent.window())
        before = list(self.points)[-2:]
        if len(before) == 2 and all(map(_is_idle, (*before, point))):
            self.points[-1] = point
        else:
            self.points.append(point)


def empty_sums() -> Sums:
    """Of a replica that scores nothing."""
    return Sums.of(Prequential())


def _is_idle(point: Point) -> bool:
    return not point.events_per_s and not point.predictions_per_s


def _point(tally: Tally, last: Tally | None, recent: RecentScores) -> Point:
    ever = tally.sums.scores()
    if not recent.events:  # nothing was learned since this process looks: what was before is all there is
        recent = ever
    seconds = tally.time - last.time if last else 0.0
    learned = max(tally.sums.events - last.sums.events, 0.0) if last else 0.0
    predicted = max(tally.predictions - last.predictions, 0) if last else 0
    return Point(
        time=tally.time,
        version=tally.version,
        events_per_s=round(learned / seconds, 1) if seconds > 0 else 0.0,
        predictions_per_s=round(predicted / seconds, 1) if seconds > 0 else 0.0,
        accuracy=_shown(ever.accuracy),
        accuracy_recent=_shown(recent.accuracy),
        accuracy_base=_shown(recent.base_rate_accuracy),
        log_loss=_shown(ever.log_loss),
        log_loss_recent=_shown(recent.log_loss),
        log_loss_base=_shown(recent.base_rate_log_loss),
        auc=_shown(ever.auc),
        auc_recent=_shown(recent.auc),
        mae=_shown(ever.mae),
        mae_recent=_shown(recent.mae),
        rmse=_shown(ever.rmse),
        rmse_recent=_shown(recent.rmse),
        weights=tuple(round(weight, 4) for weight in tally.weights),
    )


def _shown(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
