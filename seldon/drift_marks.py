"""Drifts and challengers for `/metrics`: what `odl drift --watch` and `odl challenge` left in Redis.

Detectors run in a process of their own; every replica shows the one record, so it is scraped where replicas
are.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from odl.challenger import ChallengerRecord, Challengers
from odl.drift import DriftRecord
from odl.drift_store import DriftStore


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last look found; replaced, never changed."""

    record: DriftRecord
    challengers: list[ChallengerRecord]


class DriftMarks(Collector):
    """Looks when told to, shows what it saw."""

    def __init__(self, drifts: DriftStore, challengers: Challengers) -> None:
        self._drifts, self._challengers = drifts, challengers
        self._seen = _Seen(DriftRecord(), [])

    def look(self) -> None:
        """Read both. Raises `Unavailable`."""
        self._seen = _Seen(self._drifts.load(), self._challengers.list())

    def collect(self) -> Iterable[Metric]:
        """What was seen last, as Prometheus' families; nothing where nobody ever observed."""
        seen = self._seen
        if seen.record.log_id:
            yield from _drifts(seen.record)
        if seen.challengers:
            yield _scores(seen.challengers)


def _drifts(record: DriftRecord) -> Iterable[Metric]:
    events = CounterMetricFamily(
        "odl_drift_events", "Drifts found, by field and detector", labels=["field", "detector"]
    )
    for field, detector, count in record.counts:
        events.add_metric([field, detector], count)
    triggers = GaugeMetricFamily(
        "odl_drift_triggers", "What the last drifts set off, by state", labels=["action", "state"]
    )
    for name, count in sorted(Counter((each.action, each.state) for each in record.triggers).items()):
        triggers.add_metric(list(name), count)
    yield events
    yield triggers
    yield GaugeMetricFamily(
        "odl_drift_observed_version", "Version up to which drift was looked for", value=record.seen
    )


def _scores(challengers: list[ChallengerRecord]) -> Metric:
    family = GaugeMetricFamily(
        "odl_challenger_score",
        "Prequential scores of a challenger and of the champion on the same events",
        labels=["challenger", "of", "score"],
    )
    for record in challengers:
        for side, scores in (("challenger", record.challenger), ("champion", record.champion)):
            for name, value in scores.items():
                family.add_metric([record.name, side, name], value)
    return family
