"""The log of a serving replica, with every read timed: a read is a head check."""

import time
from typing import Any

from odl.log import Slice
from odl.redis_log import RedisLog
from seldon.metrics import PlaneMetrics
from seldon.traces import Tracer


class ObservedLog(RedisLog):
    """`RedisLog` that tells `metrics`, and `tracer` if there is one, how long its reads take."""

    def __init__(
        self, *args: Any, metrics: PlaneMetrics, tracer: Tracer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._metrics = metrics
        self._tracer = tracer

    def read(self, version: int, count: int) -> Slice:
        began = time.perf_counter()
        part = super().read(version, count)
        self._metrics.read_seconds.observe(time.perf_counter() - began)
        # An idle replica reads 50 times a second: only reads that found something are worth a span.
        if self._tracer is not None and part.entries:
            self._tracer.head_check(began, version, part.head.version)
        return part
