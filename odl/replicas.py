"""Heartbeats: which replicas are alive, and how far each has learned.

>>> replicas = MemoryReplicas()
>>> record = ReplicaRecord("r1", version=7, epoch=1, chain="c", digest="d", fold_id="f", url="", time_ms=0)
>>> replicas.beat(record, ttl_ms=5_000)
>>> [alive.id for alive in replicas.list()]
['r1']
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import msgspec
import redis

from odl.clock import monotonic_ms
from odl.errors import Unavailable
from odl.redis_keys import RedisKeys
from odl.redis_script import RedisScript, transact

REPLICAS_MAX = 1_000  # every beat looks through all of them; far more than one log can feed


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """What one replica said of itself last."""

    id: str  # unique among replicas
    version: int  # log entries learned
    epoch: int  # of the log, as the replica knows it
    chain: str  # of the log at that version
    digest: str  # of the learner at that version; empty if it was not computed
    fold_id: str  # identity of the arithmetic
    url: str  # where it serves; empty if it does not
    time_ms: int  # when it said so, Unix milliseconds by its own clock
    confirmed: str = ""  # sha256 of the newest snapshot that it has loaded itself and found good
    joined: bool = False  # was at the head since it began to fold; not while it still catches up


class Replicas(Protocol):
    """The heartbeats. Every method is one atomic step."""

    def beat(self, record: ReplicaRecord, ttl_ms: int) -> None:
        """Record that a replica is alive for the next `ttl_ms`. Raises `Unavailable`, also when
        `REPLICAS_MAX` others are alive."""

    def list(self) -> list[ReplicaRecord]:
        """Those that are alive, ordered by id."""


class MemoryReplicas:
    """`Replicas` of one process."""

    def __init__(
        self, clock_ms: Callable[[], int] = monotonic_ms, *, replicas_max: int = REPLICAS_MAX
    ) -> None:
        self._clock_ms = clock_ms
        self._replicas_max = replicas_max
        self._mutex = Lock()
        self._found: dict[str, tuple[int, ReplicaRecord]] = {}  # id -> when it ends, record

    def beat(self, record: ReplicaRecord, ttl_ms: int) -> None:
        with self._mutex:
            now_ms = self._clock_ms()
            others = {id: kept for id, kept in self._found.items() if kept[0] > now_ms and id != record.id}
            if len(others) >= self._replicas_max:
                raise _too_many(len(others))
            self._found = others | {record.id: (now_ms + ttl_ms, record)}

    def list(self) -> list[ReplicaRecord]:
        with self._mutex:
            now_ms = self._clock_ms()
            return [record for _, (ends_ms, record) in sorted(self._found.items()) if ends_ms > now_ms]


class RedisReplicas:
    """`Replicas` of the model `name` in Redis; times to live are counted by the server's clock."""

    def __init__(self, client: redis.Redis, name: str, *, replicas_max: int = REPLICAS_MAX) -> None:
        self._client = client
        self._key = RedisKeys(name).replicas
        self._replicas_max = replicas_max
        self._beat = RedisScript(client, "beat")

    def beat(self, record: ReplicaRecord, ttl_ms: int) -> None:
        arguments = (record.id, msgspec.json.encode(record), ttl_ms, self._replicas_max)
        if not self._beat.run((self._key,), arguments, repeatable=True):
            raise _too_many(self._replicas_max)

    def list(self) -> list[ReplicaRecord]:
        (seconds, microseconds), found = transact(self._client, ("TIME",), ("HGETALL", self._key))
        now_ms = seconds * 1000 + microseconds // 1000
        alive = []
        for _, value in sorted(found.items()):
            ends_ms, _, record = value.partition(b" ")
            if int(ends_ms) > now_ms:
                alive.append(msgspec.json.decode(record, type=ReplicaRecord))
        return alive


def _too_many(count: int) -> Unavailable:
    return Unavailable(f"{count} other replicas are alive already: stop some, or run another model")
