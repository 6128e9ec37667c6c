"""The record of drifts of one model, in Redis or in memory, with one observer writing it at a time."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import redis

from odl.drift import Detector, Drift, DriftRecord, Trigger
from odl.errors import Superseded
from odl.redis_keys import RedisKeys
from odl.redis_script import transact

DRIFTS_MAX = 200  # kept; the counts go on
TRIGGERS_MAX = 100
COUNTS_MAX = 300  # fields that are counted by name, so that metrics stay bounded …
OTHER = "(other)"  # … the rest together
OBSERVER_GONE_MS = 30_000  # an observer that was silent for so long has died


class DriftStore(Protocol):
    """Where the record is."""

    def load(self) -> DriftRecord:
        """The record; an empty one if there is none."""

    def save(self, record: DriftRecord) -> None:
        """Replace the record. Raises `Superseded` when another observer has replaced it of late."""

    def release(self, observer: str) -> None:
        """Let another observer begin at once."""


class MemoryDrifts:
    """`DriftStore` of one process."""

    def __init__(self) -> None:
        self._data = b""

    def load(self) -> DriftRecord:
        return _decoded(self._data)

    def save(self, record: DriftRecord) -> None:
        check_observer(self.load(), record)
        self._data = msgspec.json.encode(record)

    def release(self, observer: str) -> None:
        record = self.load()
        if record.observer == observer:
            self._data = msgspec.json.encode(msgspec.structs.replace(record, observer=""))


class RedisDrifts:
    """`DriftStore` of the model `name`: one field of a hash."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client = client
        self._key = RedisKeys(name).drift

    def load(self) -> DriftRecord:
        [data] = transact(self._client, ("HGET", self._key, "record"))
        return _decoded(data)

    def save(self, record: DriftRecord) -> None:
        check_observer(self.load(), record)
        self._put(record)

    def release(self, observer: str) -> None:
        record = self.load()
        if record.observer == observer:
            self._put(msgspec.structs.replace(record, observer=""))

    def _put(self, record: DriftRecord) -> None:
        transact(self._client, ("HSET", self._key, "record", msgspec.json.encode(record)))


def check_observer(kept: DriftRecord, record: DriftRecord) -> None:
    """Raise `Superseded` if somebody else than the writer of `record` observes. Two that begin in the same
    millisecond may both pass once; the log itself still takes only one decision on one head."""
    if kept.observer not in ("", record.observer) and record.beat_ms - kept.beat_ms < OBSERVER_GONE_MS:
        raise Superseded(
            f"{kept.observer} observes drift of this model: stop it, or wait "
            f"{OBSERVER_GONE_MS // 1000} s after it has died"
        )


def with_drifts(
    record: DriftRecord, found: list[Drift], watched: Sequence[tuple[str, Detector]] = ()
) -> DriftRecord:
    """The record with further drifts, counted, within its limits. What is watched counts from 0, since
    Prometheus sees no increase in a counter that begins at 1."""
    counts: dict[tuple[str, str], int] = {name: 0 for name in watched[:COUNTS_MAX]}
    for field, detector, count in record.counts:
        if count or len(counts) < COUNTS_MAX:
            counts[field, detector] = count
    for drift in found:
        name = drift.field, drift.detector
        if name not in counts and len(counts) >= COUNTS_MAX:
            name = OTHER, drift.detector
        counts[name] = counts.get(name, 0) + 1
    return msgspec.structs.replace(
        record,
        drifts=(*record.drifts, *found)[-DRIFTS_MAX:],
        counts=tuple((*name, count) for name, count in sorted(counts.items())),
    )


def with_trigger(record: DriftRecord, trigger: Trigger) -> DriftRecord:
    """The record with a trigger, in place of the earlier state of the same one."""
    others = tuple(each for each in record.triggers if key(each) != key(trigger))
    return msgspec.structs.replace(record, triggers=(*others, trigger)[-TRIGGERS_MAX:])


def key(trigger: Trigger) -> tuple[int, str, str]:
    """What tells a trigger from others."""
    return trigger.drift.version, trigger.drift.field, trigger.drift.series


def _decoded(data: bytes | None) -> DriftRecord:
    return msgspec.json.decode(data, type=DriftRecord) if data else DriftRecord()
