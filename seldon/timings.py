"""Histograms of durations for the way of every request: an observation is put aside, and counted later.

A lock and a walk through the buckets are microseconds by themselves, but several times that in the middle of
a request, whose caches hold other things; counting many at once costs next to nothing for each.

>>> timing = Timing((0.1, 1.0))
>>> for seconds in (0.05, 0.1, 0.5, 3.0):
...     timing.observe(seconds)
>>> timing.buckets(), timing.sum
([('0.1', 2.0), ('1.0', 3.0), ('+Inf', 4.0)], 3.65)
"""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

ASIDE_MAX = 512  # observations put aside: bounds memory, and what counting them holds up


class Timing:
    """One histogram. Safe to use from many threads."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._aside: deque[float] = deque()
        self._counting = threading.Lock()

    def observe(self, seconds: float) -> None:
        """One more duration."""
        self._aside.append(seconds)
        if len(self._aside) >= ASIDE_MAX:
            self._count()

    @property
    def sum(self) -> float:
        """Of all durations."""
        self._count()
        return self._sum

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, durations up to it), as Prometheus wants them."""
        self._count()
        names = [*map(str, self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))

    def _count(self) -> None:
        aside, bounds, counts = self._aside, self._bounds, self._counts
        with self._counting:
            for _ in range(len(aside)):
                seconds = aside.popleft()
                self._sum += seconds
                counts[bisect_left(bounds, seconds)] += 1


class Timings(Collector):
    """Histograms under one name, told apart by the label `kind` if there are several."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], *kinds: str) -> None:
        self._name, self._documentation = name, documentation
        self.by_kind = {kind: Timing(bounds) for kind in kinds or ("",)}

    def collect(self) -> Iterator[Metric]:
        """All of them, as one family."""
        labels = [] if "" in self.by_kind else ["kind"]
        family = HistogramMetricFamily(self._name, self._documentation, labels=labels)
        for kind, timing in self.by_kind.items():
            family.add_metric([kind] if labels else [], buckets=timing.buckets(), sum_value=timing.sum)
        yield family
