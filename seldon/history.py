"""What a replica has been through: points for charts, as many as fit, the oldest make room.

A point holds the running scores and those over the last events alone, which show a change at once where
running scores have a long memory.

>>> history = History(window_events=2)
>>> one = Sums(events=2, weight=2.0, hits=1.0, log_loss=2.0, base_loss=1.4, base_hits=1.0)
>>> two = Sums(events=4, weight=4.0, hits=3.0, log_loss=2.6, base_loss=2.8, base_hits=3.0)
>>> for at, sums in enumerate((one, two)):
...     history.take(Tally(time=float(at), version=sums.events, sums=sums))
>>> history.points[-1].accuracy, history.points[-1].accuracy_recent, history.points[-1].events_per_s
(0.75, 1.0, 2.0)
"""

import math
from collections import deque
from dataclasses import dataclass

import msgspec

POINTS_MAX = 600  # ten minutes of learning at one point a second; a page shows no more
WINDOW_EVENTS = 1_000  # a rate of 0.3 over them is known to 0.015


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums that scores are made of, since the fold began."""

    events: int = 0  # scored
    weight: float = 0.0
    hits: float = 0.0  # weight of events whose most probable class was right
    base_hits: float = 0.0  # weight of the most frequent class: what always naming it would have hit
    log_loss: float = 0.0  # nats
    base_loss: float = 0.0  # of the label frequencies before each event, nats
    absolute: float = 0.0  # regression: sum of absolute errors
    square: float = 0.0  # regression: sum of squared errors
    is_regression: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of a replica at one moment."""

    time: float  # Unix seconds
    version: int
    sums: Sums
    predictions: int = 0  # answered since the process began
    weights: tuple[float, ...] = ()  # of the depths, sum 1


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """One point of the charts; None where the task has no such score, or nothing was scored."""

    time: float  # Unix seconds
    version: int
    events_per_s: float = 0.0  # learned since the point before
    predictions_per_s: float = 0.0
    accuracy: float | None = None  # since the fold began
    accuracy_recent: float | None = None  # over the last `WINDOW_EVENTS`
    accuracy_base: float | None = None  # of always naming the most frequent class
    log_loss: float | None = None  # nats
    log_loss_recent: float | None = None
    log_loss_base: float | None = None  # of the label frequencies, over the last `WINDOW_EVENTS`
    mae: float | None = None
    mae_recent: float | None = None
    rmse: float | None = None
    rmse_recent: float | None = None
    weights: tuple[float, ...] = ()


class History:
    """The points of one replica, oldest first. One thread takes; `points` may be copied by another."""

    def __init__(self, points_max: int = POINTS_MAX, window_events: int = WINDOW_EVENTS) -> None:
        self.points: deque[Point] = deque(maxlen=points_max)
        self._window_events = window_events
        self._window: deque[Sums] = deque(maxlen=points_max)  # the first one is where the window begins
        self._last: Tally | None = None

    def take(self, tally: Tally) -> None:
        """Add the next moment. While nothing happens the last point moves along, so that idle hours do not
        push out what was learned before; where history was lost, the points begin anew."""
        last, self._last = self._last, tally
        if last is not None and tally.version < last.version:
            self.points.clear()
            last = None
        if last is not None and tally.sums.events < last.sums.events:
            self._window.clear()  # another fold of the same log: its sums are its own
        if not self._window or tally.sums.events > self._window[-1].events:
            self._window.append(tally.sums)
        while len(self._window) > 2 and tally.sums.events - self._window[1].events >= self._window_events:
            self._window.popleft()
        point = _point(tally, last, self._window[0])
        before = list(self.points)[-2:]
        if len(before) == 2 and all(map(_is_idle, (*before, point))):
            self.points[-1] = point
        else:
            self.points.append(point)


def _is_idle(point: Point) -> bool:
    return not point.events_per_s and not point.predictions_per_s


def _point(tally: Tally, last: Tally | None, since: Sums) -> Point:
    sums = tally.sums
    seconds = tally.time - last.time if last else 0.0
    learned = max(sums.events - last.sums.events, 0) if last else 0
    predicted = max(tally.predictions - last.predictions, 0) if last else 0
    rates = (round(learned / seconds, 1), round(predicted / seconds, 1)) if seconds > 0 else (0.0, 0.0)
    weights = tuple(round(weight, 4) for weight in tally.weights)
    events_per_s, predictions_per_s = rates
    if not sums.weight:
        return Point(tally.time, tally.version, events_per_s, predictions_per_s, weights=weights)
    if sums.weight <= since.weight:  # the window begins here: what was before is all there is
        since = Sums()
    n, recent = sums.weight, sums.weight - since.weight
    if sums.is_regression:
        return Point(
            time=tally.time,
            version=tally.version,
            events_per_s=events_per_s,
            predictions_per_s=predictions_per_s,
            mae=_shown(sums.absolute / n),
            mae_recent=_shown((sums.absolute - since.absolute) / recent),
            rmse=_shown(math.sqrt(sums.square / n)),
            rmse_recent=_shown(math.sqrt(max(sums.square - since.square, 0.0) / recent)),
            weights=weights,
        )
    return Point(
        time=tally.time,
        version=tally.version,
        events_per_s=events_per_s,
        predictions_per_s=predictions_per_s,
        accuracy=_shown(sums.hits / n),
        accuracy_recent=_shown((sums.hits - since.hits) / recent),
        accuracy_base=_shown(sums.base_hits / n),
        log_loss=_shown(sums.log_loss / n),
        log_loss_recent=_shown((sums.log_loss - since.log_loss) / recent),
        log_loss_base=_shown((sums.base_loss - since.base_loss) / recent),
        weights=weights,
    )


def _shown(value: float) -> float:
    return float(f"{value:.5g}")
