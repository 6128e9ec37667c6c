"""What a server did lately, read from its own metrics: predictions, feedback, refusals, latencies.

>>> quantile(0.5, [(0.001, 0.0), (0.002, 10.0), (float("inf"), 10.0)])
0.0015
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from prometheus_client.metrics import MetricWrapperBase

from seldon.message import Json
from seldon.metrics import PlaneMetrics

LATELY = 10  # moments, of a second each, over which latencies are taken
Buckets = dict[float, float]  # upper bound in seconds -> how many took at most so long


class Traffic:
    """Counts since the process began, and latencies over the last moments."""

    def __init__(self, metrics: PlaneMetrics) -> None:
        self._metrics = metrics
        self._latencies: dict[str, deque[Buckets]] = {
            kind: deque([_buckets(metrics, kind)], LATELY + 1) for kind in ("predict", "feedback")
        }
        self.predictions = 0  # requests answered
        self.feedback: dict[str, int] = {}  # outcome -> events
        self.refused = 0

    def take(self) -> None:
        """Read the metrics once."""
        metrics = self._metrics
        self.feedback = dict.fromkeys(self.feedback, 0)
        for labels, count in _totals(metrics.events):
            outcome = labels["outcome"]
            self.feedback[outcome] = self.feedback.get(outcome, 0) + int(count)
        self.refused = int(sum(count for _, count in _totals(metrics.failures)))
        for kind, taken in self._latencies.items():
            taken.append(_buckets(metrics, kind))
        self.predictions = int(self._latencies["predict"][-1].get(math.inf, 0))

    def summary(self) -> Json:
        """For the page: counts, and milliseconds of the last moments."""
        shown: Json = {"predictions": self.predictions, "feedback": self.feedback, "refused": self.refused}
        for kind, taken in self._latencies.items():
            lately = [(bound, count - taken[0].get(bound, 0.0)) for bound, count in taken[-1].items()]
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                seconds = quantile(share, sorted(lately))
                shown[f"{kind}_{name}_ms"] = None if seconds is None else round(seconds * 1000, 2)
        return shown


def quantile(share: float, counts: Sequence[tuple[float, float]]) -> float | None:
    """The quantile of a histogram, interpolated within its bucket; None if it is empty. `counts`: upper
    bounds in order, each with how many are at most that; the last bound is infinity."""
    if not counts or not counts[-1][1]:
        return None
    wanted = share * counts[-1][1]
    for (low, below), (high, up_to) in pairwise([(0.0, 0.0), *counts]):
        if up_to >= wanted:
            if math.isinf(high):
                return low
            return low + (high - low) * (wanted - below) / (up_to - below) if up_to > below else high
    return counts[-1][0]


def _totals(metric: MetricWrapperBase) -> list[tuple[dict[str, str], float]]:
    samples = [sample for family in metric.collect() for sample in family.samples]
    return [(sample.labels, sample.value) for sample in samples if sample.name.endswith("_total")]


def _buckets(metrics: PlaneMetrics, kind: str) -> Buckets:
    samples = [sample for family in metrics.seconds.collect() for sample in family.samples]
    return {
        float(sample.labels["le"]): sample.value
        for sample in samples
        if sample.name.endswith("_bucket") and sample.labels["kind"] == kind
    }
