"""The replica on a real server: the same guarantees as in memory."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from hash_learner import HashLearner

from odl.embedded_redis import EmbeddedRedis
from odl.errors import LogMissing, Unavailable
from odl.event import Event, encode
from odl.log import Append
from odl.redis_connection import connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.replay import replay
from odl.replica import Replica, ReplicaSettings
from odl.snapshotter import Snapshotter, save_now

ROW = {"n": "row"}
WAIT_S = 30.0


def append(log: RedisLog, event_id: str) -> int:
    event = Event(id=event_id, x={"n": event_id}, y="yes", source="rest:test")
    return log.append(Append(encode(event), event_id, event.source)).version or 0


@pytest.fixture
def log(redis_client: redis.Redis, model_name: str) -> Iterator[RedisLog]:
    log = RedisLog(redis_client, model_name)
    log.create()
    yield log


def test_acknowledged_events_are_seen_by_predictions_of_every_replica(log: RedisLog):
    def feed_and_predict(name: int) -> None:
        for number in range(50):
            version = append(log, f"{name}-{number}")
            for replica in (first, second):
                assert replica.predict([ROW]).result(WAIT_S).version >= version

    with (
        Replica(HashLearner, HashLearner.from_bytes, log) as first,
        Replica(HashLearner, HashLearner.from_bytes, log) as second,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(feed_and_predict, range(4)))
        left, right = first.status(), second.status()
    offline = replay(log, HashLearner)
    assert offline.version == left.version == right.version == 200
    assert offline.digest == left.digest == right.digest
    assert offline.chain == left.chain == log.head().chain


def test_a_restart_continues_from_the_snapshot_in_redis(
    log: RedisLog, redis_client: redis.Redis, model_name: str
):
    snapshots, lock = RedisSnapshots(redis_client, model_name), RedisLock(redis_client, model_name)
    with Replica(HashLearner, HashLearner.from_bytes, log, snapshots) as replica:
        for number in range(20):
            append(log, str(number))
        replica.predict([]).result(WAIT_S)
        Snapshotter(replica, snapshots, lock, HashLearner.from_bytes).stop()
        before = replica.status()
    assert [snapshot.version for snapshot in snapshots.list()] == [20]
    with Replica(HashLearner, HashLearner.from_bytes, log, snapshots) as again:
        assert again.predict([]).result(WAIT_S).version == 20
        after = again.status()
        assert (after.digest, after.chain, after.events) == (before.digest, before.chain, 20)
        append(log, "one more")
        again.predict([]).result(WAIT_S)
        assert save_now(again, snapshots, lock, HashLearner.from_bytes) is not None
        log_lease = lock.acquire("trim", 10_000)
        assert log_lease is not None
        log.trim(20, "hash-1", log_lease)
    with Replica(HashLearner, HashLearner.from_bytes, log, snapshots) as last:
        assert last.predict([]).result(WAIT_S).version == 21


def test_a_flushed_server_is_refused_and_a_new_log_followed(
    log: RedisLog, redis_client: redis.Redis, model_name: str
):
    with Replica(HashLearner, HashLearner.from_bytes, log) as replica:
        append(log, "a")
        replica.predict([]).result(WAIT_S)
        keys = list(redis_client.scan_iter(f"{{odl:{model_name}}}*"))
        redis_client.delete(*keys)
        with pytest.raises(LogMissing):
            replica.predict([ROW]).result(WAIT_S)
        log.create()
        append(log, "b")
        answer = replica.predict([ROW]).result(WAIT_S)
        assert (answer.version, answer.epoch, replica.status().resets) == (1, 2, 1)


def test_a_server_that_was_away_is_followed_again(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as server, contextlib.closing(connect(server.url)) as client:
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
        log = RedisLog(client, "away")
        log.create()
        append(log, "a")
        settings = ReplicaSettings(policy="stale")
        with Replica(HashLearner, HashLearner.from_bytes, log, settings=settings) as replica:
            assert not replica.predict([ROW]).result(WAIT_S).stale
            server.stop()
            answer = replica.predict([ROW]).result(WAIT_S)
            assert (answer.version, answer.stale) == (1, True)
            with pytest.raises(Unavailable):
                replica.predict([ROW], min_version=2).result(WAIT_S)
            with EmbeddedRedis(tmp_path, port=port):
                append(log, "b")
                answer = replica.predict([ROW]).result(WAIT_S)
                assert (answer.version, answer.epoch, answer.stale) == (2, 1, False)
