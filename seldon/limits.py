"""How much feedback one source may send: a bucket for each, refilled at a steady rate.

>>> now = [0.0]
>>> bound = RateBound(per_second=10, burst=2, clock=lambda: now[0])
>>> bound.take("rest:shop", 2)
>>> bound.take("rest:shop", 1)
Traceback (most recent call last):
odl.errors.InvalidEvent: expected at most 10 events/s from rest:shop, received more: try again in 1 s
>>> now[0] = 0.1
>>> bound.take("rest:shop", 1)
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from odl.errors import InvalidEvent

# Sources are what senders call themselves where no token names them, so their number is bounded, too. Those
# beyond share one bucket: by inventing names nobody gets more than that many times the rate.
SOURCES_MAX = 1_000
OTHERS = "further sources"
RETRY_AFTER_S_MAX = 3_600


@dataclass(slots=True)
class _Bucket:
    level: float  # events that may come now; below 0 while a large request is paid off
    at_s: float  # when that was so


class RateBound:
    """Refuses what exceeds the rate. Safe to use from many threads.

    A request passes while its source's bucket holds an event, however many it brings; what it overdraws has
    to refill before the next one. So the mean rate is kept, and a request larger than a burst has its turn.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sources_max: int = SOURCES_MAX,
    ) -> None:
        """`per_second`: events of one source; `burst`: events it may send at once after a pause."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._sources_max = sources_max
        self._mutex = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the least recently used first

    def take(self, source: str, count: int) -> None:
        """Count `count` events of `source`. Raises `InvalidEvent` (429, with when to try again)."""
        with self._mutex:
            bucket = self._bucket(source)
            if bucket.level < 1:
                raise self._too_fast(source, bucket.level)
            bucket.level -= count

    def _bucket(self, source: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(source)
        if bucket is None:
            source = source if self._has_room(now) else OTHERS
            bucket = self._buckets.setdefault(source, _Bucket(self._burst, now))
        self._buckets.move_to_end(source)
        bucket.level = min(self._burst, bucket.level + (now - bucket.at_s) * self._per_second)
        bucket.at_s = now
        return bucket

    def _has_room(self, now: float) -> bool:
        """Whether a new source may have a bucket of its own; one that is full again is forgotten for it."""
        if len(self._buckets) < self._sources_max:
            return True
        oldest, bucket = next(iter(self._buckets.items()))
        if bucket.level + (now - bucket.at_s) * self._per_second < self._burst:
            return False
        del self._buckets[oldest]
        return True

    def _too_fast(self, source: str, level: float) -> InvalidEvent:
        wait_s = min(max(1, math.ceil((1 - level) / self._per_second)), RETRY_AFTER_S_MAX)
        return InvalidEvent(
            f"expected at most {self._per_second:g} events/s from {source}, received more: "
            f"try again in {wait_s} s",
            status=429,
            reason="TOO_FAST",
            retry_after_s=wait_s,
        )
