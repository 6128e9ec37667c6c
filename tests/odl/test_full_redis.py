"""A server whose memory is full refuses what grows, and takes everything by which room is made."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from odl.embedded_redis import EmbeddedRedis
from odl.errors import Unavailable
from odl.log import Append, Outcome
from odl.redis_connection import connect
from odl.redis_functions import acl_rules, library
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.replicas import RedisReplicas, ReplicaRecord
from odl.snapshots import Snapshot

MODEL = "flights"
ROOM_BYTES = 3_000_000  # beside what an empty server uses
TTL_MS = 60_000


@pytest.fixture(params=["scripts", "functions"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[redis.Redis]:
    """Of a small server: as somebody who may do everything, or only what `odl rights` gives."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(tmp_path, appendfsync="no"))
        admin = stack.enter_context(contextlib.closing(connect(server.url)))
        admin.execute_command("FUNCTION", "LOAD", library())
        admin.execute_command("ACL", "SETUSER", "odl", "on", ">pw", *acl_rules(MODEL))
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + ROOM_BYTES)
        if request.param == "scripts":
            yield admin
        else:
            url = server.url.replace("://", "://odl:pw@")
            yield stack.enter_context(contextlib.closing(connect(url)))


def event(number: int) -> Append:
    return Append(b"%1000d" % number, f"e-{number}", "rest:test")


def fill(log: RedisLog) -> int:
    """Append until the server refuses; how many entered."""
    with pytest.raises(Unavailable, match="OOM|maxmemory"):
        for number in range(100 * ROOM_BYTES // 1_000):
            log.append(event(number))
    return log.head().version


def snapshot_at(log: RedisLog, version: int) -> Snapshot:
    found = log.read(version - 1, 1)
    sha256 = hashlib.sha256(b"x").hexdigest()
    return Snapshot(version, found.entries[-1].chain, found.head.log_id, "fold", "digest", sha256, 1, 0)


def test_a_full_log_is_trimmed_and_takes_events_again(client: redis.Redis) -> None:
    log, lock = RedisLog(client, MODEL), RedisLock(client, MODEL)
    snapshots = RedisSnapshots(client, MODEL)
    log.create()
    for number in range(400):
        log.append(event(-1 - number))
    lease = lock.acquire("snapshots", TTL_MS)
    assert lease is not None
    for version in (390, 400):
        snapshots.save(snapshot_at(log, version), b"x", lease)
    lock.release(lease)
    version = fill(log)

    lease = lock.acquire("trim", TTL_MS)
    assert lease is not None
    lock.renew(lease, TTL_MS)
    assert log.trim(390, "fold", lease) > 300
    lock.release(lease)
    assert lock.holder() is None

    answer = log.append(event(version + 1_000))
    assert (answer.outcome, answer.version) == (Outcome.ACCEPTED, version + 1)


def test_a_full_server_lets_replicas_join_beat_and_say_how_far_the_log_may_go(client: redis.Redis) -> None:
    log, replicas = RedisLog(client, MODEL), RedisReplicas(client, MODEL)
    log.create()
    fill(log)
    assert log.create() == log.head()
    assert log.claim("fold").fold_id == "fold"
    assert log.raise_epoch(5).epoch == 5
    log.limit(3, "memory is full")
    replicas.beat(ReplicaRecord("a", 1, 5, "chain", "digest", "fold", "", 0), TTL_MS)
    assert [record.id for record in replicas.list()] == ["a"]
    assert len(log.read(0, 10).entries) == 10
