"""What one replica sees of the others: the log's head, who is alive, how far behind each is."""

from dataclasses import asdict, dataclass

from odl.drift_store import DriftStore
from odl.log import Log
from odl.replicas import ReplicaRecord, Replicas
from seldon.message import Json

DRIFTS_MAX = 50  # the newest that are shown


@dataclass(frozen=True, slots=True)
class Fleet:
    """The log and the heartbeats of one model."""

    log: Log
    replicas: Replicas
    drifts: DriftStore | None = None

    def look(self, now_ms: int) -> Json:
        """Head, counters, replicas and drifts, for people. Four round trips. Raises `Unavailable`."""
        head, counters = self.log.head(), self.log.counters()
        alive = [_seen(record, head.version, now_ms) for record in self.replicas.list()]
        return {
            "version": head.version,
            "epoch": head.epoch,
            "chain": head.chain,
            "duplicates": counters.duplicates,
            "dead_letters": counters.skipped,
            "control": counters.control,
            "replicas": alive,
            "drifts": self._drifts(),
        }

    def _drifts(self) -> list[Json]:
        if self.drifts is None:
            return []
        found = self.drifts.load().drifts[-DRIFTS_MAX:]
        return [
            {
                "version": each.version,
                "field": each.field,
                "detector": each.detector,
                "size": round(each.size, 4),
            }
            for each in found
        ]


def _seen(record: ReplicaRecord, head_version: int, now_ms: int) -> Json:
    """`lag` counts from the head of now, `age_s` by two clocks: it may be off by what these differ."""
    age_s = round(max(now_ms - record.time_ms, 0) / 1000, 1)
    return asdict(record) | {"lag": max(head_version - record.version, 0), "age_s": age_s}
