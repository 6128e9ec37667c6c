"""Remembered predictions: what was asked and answered under an id, kept until its truth is known.

A label that comes hours later then needs nothing but the id. What it is joined with enters the log inside the
event, so a fold never looks here: a store that forgets costs labels, never determinism.

>>> store = MemoryPredictions(ttl_s=3600, records_max=2)
>>> for number in range(3):
...     store.put(f"p-{number}", Remembered({"usage": number}, {"stays": 0.9, "leaves": 0.1}, version=7))
>>> [found and found.record.x for found in store.recall(["p-0", "p-1", "p-2"])]
[None, {'usage': 1}, {'usage': 2}]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import msgspec

from odl.clock import monotonic_ms
from odl.event import Features, Prediction


class Remembered(msgspec.Struct, frozen=True, array_like=True):
    """One row of a prediction. Stored when it arrives, and again when it is answered."""

    x: Features  # as asked
    prediction: Prediction | None = None  # as answered; None: not answered yet, or its replica died first
    version: int = 0  # of that answer
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a store knows of one id."""

    record: Remembered
    is_late: bool  # older than the time to live, and about to be forgotten


class PredictionStore(Protocol):
    """Where predictions are remembered: at least the last `records_max` of the last `ttl_s` seconds."""

    ttl_s: float

    @property
    def has_news(self) -> bool:
        """Whether something was put that no read of the log has taken along yet."""

    def put(self, prediction_id: str, record: Remembered) -> None:
        """Remember a row, in place of what this id had: stored by the time that the next read of the log on
        this thread returns, since it travels in the same round trip."""

    def recall(self, prediction_ids: Sequence[str]) -> list[Recalled | None]:
        """What is known of each id. Any thread. Raises `Unavailable`."""

    def flush(self) -> None:
        """Store what was put and has not travelled yet. Raises `Unavailable`."""


class MemoryPredictions:
    """A `PredictionStore` for the threads of one process, which defines what one does."""

    has_news = False  # all is stored at once

    def __init__(self, *, ttl_s: float, records_max: int, clock_ms: Callable[[], int] = monotonic_ms) -> None:
        self.ttl_s = ttl_s
        self._records_max = records_max
        self._clock_ms = clock_ms
        self._mutex = Lock()
        self._stored: dict[str, tuple[int, Remembered]] = {}  # id -> when and what, oldest first

    def put(self, prediction_id: str, record: Remembered) -> None:
        with self._mutex:
            self._stored.pop(prediction_id, None)
            self._stored[prediction_id] = (self._clock_ms(), record)
            if len(self._stored) > self._records_max:
                del self._stored[next(iter(self._stored))]

    def recall(self, prediction_ids: Sequence[str]) -> list[Recalled | None]:
        with self._mutex:
            found = [self._stored.get(each) for each in prediction_ids]
        oldest_ms = self._clock_ms() - self.ttl_s * 1000
        return [each and Recalled(each[1], is_late=each[0] < oldest_ms) for each in found]

    def flush(self) -> None:
        pass
