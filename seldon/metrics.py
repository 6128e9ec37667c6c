"""Counts and timings of a serving process for Prometheus.

What a request does is counted as it happens, as cheaply as that goes; what the replica knows of itself is
read at the scrape; what takes longer (odl.recent, seldon.distributions, Redis) `seldon.monitor` looks at.
"""

import threading
from collections import Counter as Counts
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from odl.event import Features, Prediction
from odl.mailbox import Answer
from seldon.distributions import Distributions, FieldState
from seldon.labels import BoundedLabels
from seldon.message import Json
from seldon.timings import ASIDE_MAX, Timings

SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
READ_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0)
CONFIDENCE_BUCKETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
PROTOCOLS = ("seldon", "inference", "grpc")  # Seldon's REST, the Open Inference Protocol, Seldon's gRPC
SAMPLED_MAX = 128  # rows that wait to be looked at: bounds memory, and what looking costs
SAMPLED_FIELDS_MAX = 256  # wider rows are not sampled: 128 of them would be megabytes

# Rows, whether stale, protocol, one row and its prediction.
_Answered: TypeAlias = tuple[int, bool, str, Features, Prediction]

# What the status of a replica means; numbers that are not here are shown under their name alone.
STATUS_HELP = {
    "version": "Entries of the log that this replica has learned or passed over",
    "epoch": "Epoch of the log; it grows when acknowledged history was lost",
    "events": "Events learned and scored by the fold that serves",
    "lag": "Entries seen in the log and not learned yet",
    "skipped": "Entries that taught nothing",
    "resets": "Times that learned history turned out to be lost",
    "ready": "Whether this replica is ready (1) or not (0)",
    "accuracy": "Prequential accuracy of all events",
    "log_loss": "Prequential log-loss of all events, nats",
    "base_rate_log_loss": "Log-loss of the label frequencies, of all events, nats",
    "auc": "Prequential area under the ROC curve of all events",
    "mae": "Prequential mean absolute error of all events",
    "rmse": "Prequential root mean squared error of all events",
}

# The moment of creation would be a second series for each counter, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class PlaneMetrics:
    """The metrics of one serving process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        predictions = Counter(
            "odl_predictions",
            "Rows predicted, by whether they were fresh and which protocol asked",
            ["outcome", "source"],
            registry=registry,
        )
        self._fresh = {source: predictions.labels("fresh", source) for source in PROTOCOLS}
        self._stale = {source: predictions.labels("stale", source) for source in PROTOCOLS}
        self.events = Counter(
            "odl_feedback_events",
            "Events of feedback by what became of them and where they came from",
            ["outcome", "source"],
            registry=registry,
        )
        self.failures = Counter(
            "odl_failures",
            "Requests refused, by HTTP status and reason",
            ["status", "reason"],
            registry=registry,
        )
        self.seconds = Timings(
            "odl_request_seconds", "Time to answer", SECONDS_BUCKETS, "predict", "feedback"
        )
        read_help = "Time of one read of the log: a head check, with the new entries"
        reads = Timings("odl_log_read_seconds", read_help, READ_BUCKETS)
        for timings in (self.seconds, reads):
            registry.register(timings)
        self.predict_seconds = self.seconds.by_kind["predict"]
        self.feedback_seconds = self.seconds.by_kind["feedback"]
        self.read_seconds = reads.by_kind[""]
        self.confidence = Histogram(
            "odl_prediction_confidence",
            "Probability of the most probable class, of sampled predictions",
            buckets=CONFIDENCE_BUCKETS,
            registry=registry,
        )
        self.inputs, self.outputs = Distributions(), Distributions()
        self._answered: deque[_Answered] = deque()
        self._sampled: deque[tuple[Features, Prediction]] = deque(maxlen=SAMPLED_MAX)
        self._counting, self._looking = threading.Lock(), threading.Lock()
        self._sources = BoundedLabels()

    def add(self, collector: Collector) -> None:
        """Show what another collector knows, too."""
        self._registry.register(collector)

    def count_predictions(
        self, rows: list[Features], answer: Answer, seconds: float, source: str = "seldon"
    ) -> None:
        """Count an answer that took so long; `source`: one of `PROTOCOLS`. This is on the way of every
        request, so it only puts aside what is counted later, and one row of the request."""
        self.predict_seconds.observe(seconds)
        self._answered.append((len(rows), answer.stale, source, rows[0], answer.predictions[0]))
        if len(self._answered) >= ASIDE_MAX:
            self._count()

    def count_feedback(self, message: Json, seconds: float, source: str = "") -> None:
        """Count the events of an answer to feedback that took so long."""
        name = self._sources.name(source or "anonymous")
        for became in message.get("jsonData", {}).get("outcomes", [message["meta"]["tags"]["outcome"]]):
            self.events.labels(became, name).inc()
        self.feedback_seconds.observe(seconds)

    def count_refusal(self, status: int, reason: str) -> None:
        """Count a request that was refused."""
        self.failures.labels(str(status), reason).inc()

    def _count(self) -> None:
        """Count what was put aside."""
        with self._counting:
            answered = [self._answered.popleft() for _ in range(len(self._answered))]
        rows: Counts[tuple[bool, str]] = Counts()
        for n_rows, stale, source, row, prediction in answered:
            rows[stale, source] += n_rows
            if len(row) <= SAMPLED_FIELDS_MAX:
                self._sampled.append((row, prediction))
        for (stale, source), count in rows.items():
            (self._stale if stale else self._fresh)[source].inc(count)

    def look(self) -> None:
        """Look at what was sampled since the last look."""
        self._count()
        with self._looking:
            for _ in range(len(self._sampled)):
                row, prediction = self._sampled.popleft()
                self.inputs.add(row)
                if isinstance(prediction, dict):
                    best = max(prediction, key=prediction.__getitem__)
                    self.confidence.observe(prediction[best])
                    self.outputs.add({"class": best, "confidence": prediction[best]})
                else:
                    self.outputs.add({"value": prediction})

    def distributions(self) -> tuple[dict[str, FieldState], dict[str, FieldState], dict[str, float]]:
        """Inputs, outputs and the share of each class, of late."""
        with self._looking:
            return self.inputs.states(), self.outputs.states(), self.outputs.ratios("class")

    def exposition(self, status: Mapping[str, Any]) -> bytes:
        """The text that Prometheus scrapes; the numbers of the replica's `status` are its gauges."""
        self._count()
        gauges = CollectorRegistry()
        gauges.register(_Status(status))
        return generate_latest(self._registry) + generate_latest(gauges)


class _Status(Collector):
    """The numbers of a replica's status; what does not apply to its task has a name and no value."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        numbers = {name: value for name, value in self._status.items() if isinstance(value, int | float)}
        for name in {**STATUS_HELP, **numbers}:
            help_text = STATUS_HELP.get(name, f"{name} of this replica")
            yield GaugeMetricFamily(f"odl_replica_{name}", help_text, value=numbers.get(name))
        depths = GaugeMetricFamily(
            "odl_depth_weight", "Weight of each depth in the prediction", labels=["depth"]
        )
        for depth, weight in enumerate(self._status.get("depth_weights") or ()):
            depths.add_metric([str(depth)], weight)
        yield depths
