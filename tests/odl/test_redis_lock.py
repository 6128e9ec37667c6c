"""The version lock where only a real server can show it."""

import contextlib
import time
from collections.abc import Iterator

import pytest
import redis
from redis_proxy import RedisProxy

from odl.embedded_redis import EmbeddedRedis
from odl.errors import Fenced, Unavailable
from odl.lock import Lease
from odl.redis_connection import connect
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock

WAIT_S = 30.0


@pytest.fixture
def proxy(valkey: EmbeddedRedis) -> Iterator[RedisProxy]:
    with RedisProxy(valkey.port) as proxy:
        yield proxy


def test_a_lease_ends_by_the_servers_clock(redis_client: redis.Redis, model_name: str) -> None:
    lock = RedisLock(redis_client, model_name)
    lease = lock.acquire("a", 50)
    assert lease is not None
    deadline = time.monotonic() + WAIT_S
    while lock.holder() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(Fenced):
        lock.renew(lease, 50)


def test_acquiring_is_not_repeated_after_a_lost_reply(
    proxy: RedisProxy, redis_client: redis.Redis, model_name: str
) -> None:
    """A second try would meet the first one's lease, whose token nobody knows."""
    with contextlib.closing(connect(proxy.url)) as client:
        lock = RedisLock(client, model_name)
        warm = lock.acquire("a", 60_000)
        assert warm is not None
        lock.release(warm)
        proxy.lose = 1
        with pytest.raises(Unavailable):
            lock.acquire("a", 60_000)
        assert redis_client.hget(RedisKeys(model_name).fence, "token") == b"2"
        assert lock.holder() == Lease("a", 2)


def test_renewing_and_releasing_survive_a_lost_reply(proxy: RedisProxy, model_name: str) -> None:
    with contextlib.closing(connect(proxy.url)) as client:
        lock = RedisLock(client, model_name)
        lease = lock.acquire("a", 60_000)
        assert lease is not None
        proxy.lose = 1
        lock.renew(lease, 60_000)
        assert lock.holder() == lease
        proxy.lose = 1
        lock.release(lease)
        assert lock.holder() is None


def test_a_grant_that_fails_leaves_no_trace(redis_client: redis.Redis, model_name: str) -> None:
    lock, keys = RedisLock(redis_client, model_name), RedisKeys(model_name)
    with pytest.raises(redis.exceptions.ResponseError):
        lock._acquire.run((keys.lock, keys.fence), ("a", 0), repeatable=False)
    assert redis_client.exists(keys.lock, keys.fence) == 0
