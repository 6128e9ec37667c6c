"""The same tests for every storage: memory defines what is right, Redis has to agree."""

import copy
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
import redis

from odl.memory import MemoryLock, MemoryLog, MemorySnapshots
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import PIECE_BYTES, RedisSnapshots
from odl.replicas import MemoryReplicas, RedisReplicas
from odl.snapshots import Snapshot


class MemoryStorage:
    """Everything of one model in memory, and what can happen to it."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.lock = MemoryLock(lambda: self.now_ms)
        self.snapshots = MemorySnapshots(self.lock)
        self.log = MemoryLog(self.snapshots)
        self.replicas = MemoryReplicas(lambda: self.now_ms, replicas_max=3)

    def log_of(self, ids_max: int) -> MemoryLog:
        """A log of its own that remembers this many ids."""
        return MemoryLog(ids_max=ids_max)

    def pass_time(self, ms: int) -> None:
        """Let leases and heartbeats age."""
        self.now_ms += ms

    def backup(self) -> Any:
        """The log as it is now."""
        return copy.deepcopy(self.log._state)

    def restore(self, backup: Any) -> None:
        """Rewind the log: what came after the backup is lost."""
        self.log._state = copy.deepcopy(backup)

    def damage(self, snapshot: Snapshot, change: Callable[[bytes], bytes]) -> None:
        """Change the stored bytes of a snapshot."""
        self.snapshots._stored[snapshot] = change(self.snapshots._stored[snapshot])

    def lose(self, snapshot: Snapshot) -> None:
        """Remove the stored bytes of a snapshot, but not its record."""
        self.snapshots._stored[snapshot] = b""


class RedisStorage:
    """Everything of one model on a server, and what can happen to it."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self.client = client
        self.name = name
        self.keys = RedisKeys(name)
        self.lock = RedisLock(client, name)
        self.snapshots = RedisSnapshots(client, name)
        self.log = RedisLog(client, name)
        self.replicas = RedisReplicas(client, name, replicas_max=3)

    def log_of(self, ids_max: int) -> RedisLog:
        return RedisLog(self.client, self.name, ids_max=ids_max)

    def pass_time(self, ms: int) -> None:
        """The server's clock cannot be set: bring the ends nearer instead."""
        for key in self.client.scan_iter(match=self.keys.prefix + "*"):
            left = self.client.pttl(key)
            if left > 0:
                self.client.pexpire(key, max(left - ms, 0))
        for replica, value in self.client.hgetall(self.keys.replicas).items():
            ends_ms, _, record = value.partition(b" ")
            self.client.hset(self.keys.replicas, replica, b"%d %s" % (int(ends_ms) - ms, record))

    def backup(self) -> Any:
        keys = (self.keys.head, self.keys.log, self.keys.sources, *self.keys.seen)
        return {key: self.client.dump(key) for key in keys}

    def restore(self, backup: Any) -> None:
        for key, dump in backup.items():
            if dump is None:
                self.client.delete(key)
            else:
                self.client.restore(key, 0, dump, replace=True)

    def damage(self, snapshot: Snapshot, change: Callable[[bytes], bytes]) -> None:
        blob = self._blob(snapshot)
        data = change(b"".join(self.client.hget(blob, n) for n in range(self.client.hlen(blob))))
        self.client.delete(blob)
        for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
            self.client.hset(blob, str(number), data[start : start + PIECE_BYTES])

    def lose(self, snapshot: Snapshot) -> None:
        self.client.delete(self._blob(snapshot))

    def _blob(self, snapshot: Snapshot) -> str:
        [record] = [each for each in self.snapshots._records() if each.snapshot == snapshot]
        return self.keys.blob(record.blob)


class FlaglessFake(fakeredis.FakeRedis):
    """fakeredis, which cannot read the line with a script's flags."""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == "EVAL" and command[1].startswith(b"#!lua"):
            command = ("EVAL", command[1].partition(b"\n")[2], *command[2:])
        return super().execute_command(*command, **options)


@pytest.fixture(params=["memory", "fakeredis", "valkey"])
def storage(request: pytest.FixtureRequest, model_name: str) -> Any:
    """Lock, snapshots and heartbeats."""
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "fakeredis":
        return RedisStorage(FlaglessFake(protocol=2), model_name)
    return RedisStorage(request.getfixturevalue("redis_client"), model_name)


@pytest.fixture(params=["memory", "valkey"])
def log_storage(request: pytest.FixtureRequest, model_name: str) -> Any:
    """All of them with the log, whose chain (`redis.sha1hex`) fakeredis cannot compute."""
    if request.param == "memory":
        return MemoryStorage()
    return RedisStorage(request.getfixturevalue("redis_client"), model_name)
