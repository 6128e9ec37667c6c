"""Counts and timings of a serving process for Prometheus.

What a request does is counted as it happens; what the replica knows of itself is read at the scrape.
"""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from seldon.message import Json

SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class PlaneMetrics:
    """The metrics of one serving process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.predictions = Counter("odl_predictions", "Rows predicted", registry=self._registry)
        self.events = Counter(
            "odl_feedback_events", "Events of feedback by outcome", ["outcome"], registry=self._registry
        )
        self.failures = Counter(
            "odl_failures",
            "Requests refused, by HTTP status and reason",
            ["status", "reason"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "odl_request_seconds",
            "Time to answer",
            ["kind"],
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self.predict_seconds = self.seconds.labels("predict")
        self.feedback_seconds = self.seconds.labels("feedback")

    def count_feedback(self, message: Json, seconds: float) -> None:
        """Count the events of an answer to feedback that took so long."""
        for became in message.get("jsonData", {}).get("outcomes", [message["meta"]["tags"]["outcome"]]):
            self.events.labels(became).inc()
        self.feedback_seconds.observe(seconds)

    def exposition(self, status: Mapping[str, Any]) -> bytes:
        """The text that Prometheus scrapes; the numbers of the replica's `status` are its gauges."""
        gauges = CollectorRegistry()
        for name, value in status.items():
            if isinstance(value, int | float):
                Gauge(f"odl_replica_{name}", f"{name} of this replica", registry=gauges).set(value)
        return generate_latest(self._registry) + generate_latest(gauges)
