"""Snapshots where only a real server can show it: what a failed writer leaves, lost replies, expiry."""

import contextlib
import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_proxy import RedisProxy

from odl.embedded_redis import EmbeddedRedis
from odl.errors import DamagedSnapshot, Fenced, Unavailable
from odl.lock import Lease
from odl.redis_connection import connect
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock
from odl.redis_snapshots import UNCOMMITTED_MS, RedisSnapshots
from odl.snapshots import Snapshot

DATA = random.Random(2).randbytes(2_500)
PIECE_BYTES = 1_000  # three pieces


def snapshot_of(version: int, data: bytes = DATA) -> Snapshot:
    return Snapshot(version, "c", "log", "fold", "d", hashlib.sha256(data).hexdigest(), len(data), 0)


def store_of(client: redis.Redis, name: str, **settings: Any) -> RedisSnapshots:
    return RedisSnapshots(client, name, piece_bytes=PIECE_BYTES, **settings)


@pytest.fixture
def keys(model_name: str) -> RedisKeys:
    return RedisKeys(model_name)


@pytest.fixture
def lease(redis_client: redis.Redis, model_name: str) -> Lease:
    lease = RedisLock(redis_client, model_name).acquire("test", 60_000)
    assert lease is not None
    return lease


@pytest.fixture
def proxy(valkey: EmbeddedRedis) -> Iterator[RedisProxy]:
    with RedisProxy(valkey.port) as proxy:
        yield proxy


def blobs(client: redis.Redis, keys: RedisKeys) -> list[bytes]:
    return list(client.scan_iter(match=keys.blob("*")))


def test_visible_bytes_never_expire_and_dropped_ones_are_gone(
    redis_client: redis.Redis, model_name: str, keys: RedisKeys, lease: Lease
) -> None:
    store = store_of(redis_client, model_name, keep=2)
    for version in range(1, 5):
        store.save(snapshot_of(version), DATA, lease)
    assert len(blobs(redis_client, keys)) == 2
    assert {redis_client.pttl(blob) for blob in blobs(redis_client, keys)} == {-1}


def test_a_fenced_writer_leaves_no_bytes(
    redis_client: redis.Redis, model_name: str, keys: RedisKeys, lease: Lease
) -> None:
    store = store_of(redis_client, model_name)
    with pytest.raises(Fenced):
        store.save(snapshot_of(1), DATA, Lease("test", lease.token - 1))
    assert blobs(redis_client, keys) == []
    assert store.list() == []


def test_what_a_writer_that_died_left_behind_expires(
    proxy: RedisProxy, redis_client: redis.Redis, model_name: str, keys: RedisKeys, lease: Lease
) -> None:
    with contextlib.closing(connect(proxy.url, timeout_s=0.2)) as client:
        client.ping()
        proxy.hold = True
        with pytest.raises(Unavailable):
            store_of(client, model_name).save(snapshot_of(1), DATA, lease)
    [blob] = blobs(redis_client, keys)
    assert 0 < redis_client.pttl(blob) <= UNCOMMITTED_MS
    assert store_of(redis_client, model_name).list() == []


def test_a_save_survives_the_loss_of_any_reply(
    valkey: EmbeddedRedis, redis_client: redis.Redis, model_name: str, keys: RedisKeys, lease: Lease
) -> None:
    """Whichever it is: the newest two snapshots are visible, their bytes are whole and stay."""
    store = store_of(redis_client, model_name, keep=2)
    store.save(snapshot_of(1), DATA, lease)
    for lost in itertools.count(1):
        older, newer = snapshot_of(lost), snapshot_of(lost + 1)
        losing = Losing(lost)
        with losing.client(valkey.port) as client:
            store_of(client, model_name, keep=2).save(newer, DATA, lease)
        assert store.list() == [newer, older]
        assert store.load(newer) == store.load(older) == DATA
        stored = [blob for blob in blobs(redis_client, keys) if redis_client.pttl(blob) == -1]
        assert len(stored) == 2
        if losing.left > 0:
            break
    assert lost > 15


def test_a_save_whose_lease_ends_at_any_lost_reply_is_visible_or_fenced_never_both(
    valkey: EmbeddedRedis, redis_client: redis.Redis, model_name: str
) -> None:
    store, lock = store_of(redis_client, model_name), RedisLock(redis_client, model_name)
    outcomes = []
    for lost in itertools.count(1):
        lease = lock.acquire("test", 60_000)
        assert lease is not None

        def end(lease: Lease = lease) -> None:
            lock.release(lease)
            newer = lock.acquire("another", 60_000)
            assert newer is not None
            lock.release(newer)

        losing = Losing(lost, end)
        try:
            with losing.client(valkey.port) as client:
                store_of(client, model_name).save(snapshot_of(lost), DATA, lease)
            outcomes.append("visible")
        except Fenced:
            outcomes.append("fenced")
        visible = snapshot_of(lost) in store.list()
        assert visible == (outcomes[-1] == "visible")
        assert not visible or store.load(snapshot_of(lost)) == DATA
        if losing.left > 0:
            break
        lock.release(lease)
    assert outcomes[:-2] == ["fenced"] * (len(outcomes) - 2)
    assert outcomes[-2:] == ["visible", "visible"], "the reply of the commit was lost; none was"


@pytest.mark.parametrize("vanish", [False, True], ids=["change", "vanish"])
def test_bytes_that_change_or_vanish_before_they_are_committed_are_found(
    valkey: EmbeddedRedis,
    redis_client: redis.Redis,
    model_name: str,
    keys: RedisKeys,
    lease: Lease,
    vanish: bool,
) -> None:
    store = store_of(redis_client, model_name)
    outcomes = []
    for lost in itertools.count(1):
        blob_id = str(lost)
        blob = keys.blob(f"{lost}-{blob_id}")

        def harm(blob: str = blob) -> None:
            if redis_client.hlen(blob) == 3 and redis_client.pttl(blob) > 0:  # written, not committed
                redis_client.delete(blob) if vanish else redis_client.hset(blob, "0", b"damaged")

        losing = Losing(lost, harm)
        with losing.client(valkey.port) as client:
            writer = store_of(client, model_name, new_blob_id=lambda blob_id=blob_id: blob_id)
            try:
                writer.save(snapshot_of(lost), DATA, lease)
                outcomes.append("visible")
            except DamagedSnapshot:
                outcomes.append("damaged")
        assert (snapshot_of(lost) in store.list()) == (outcomes[-1] == "visible")
        if vanish and outcomes[-1] == "visible":
            assert store.load(snapshot_of(lost)) == DATA
        if losing.left > 0:
            break
    assert "damaged" in outcomes and outcomes[-1] == "visible"


class Losing:
    """Counts replies of all connections of a client down to the one that gets lost."""

    def __init__(self, left: int, then: Callable[[], None] = lambda: None) -> None:
        self.left = left
        self.then = then  # what happens at that moment

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[redis.Redis]:
        """A client that loses the reply."""
        pool = redis.ConnectionPool(
            connection_class=LosingConnection, port=port, retry=Retry(NoBackoff(), 0), losing=self
        )
        with contextlib.closing(redis.Redis(connection_pool=pool)) as client:
            yield client
            pool.disconnect()


class LosingConnection(redis.Connection):
    """Closes instead of delivering one reply: the server has acted."""

    def __init__(self, losing: Losing, **settings: Any) -> None:
        self._losing = losing
        super().__init__(**settings)

    def read_response(self, *args: Any, **settings: Any) -> Any:
        reply = super().read_response(*args, **settings)
        self._losing.left -= 1
        if self._losing.left == 0:
            self.disconnect()
            self._losing.then()
            raise redis.exceptions.ConnectionError("lost by the test")
        return reply
