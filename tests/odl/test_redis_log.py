"""What can go wrong between a log in Redis and its server, on real servers."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis_proxy import RedisProxy

from odl.embedded_redis import EmbeddedRedis
from odl.errors import HistoryLost, LogMissing, Misconfigured, Unavailable
from odl.log import Append, Appended, Coming, Log, Outcome
from odl.redis_connection import connect
from odl.redis_keys import RedisKeys
from odl.redis_log import RedisLog

SOURCE = "kafka:c:t:0"


def event(n: int) -> Append:
    """Event number n of one source with positions."""
    return Append(b"payload %d" % n, f"id-{n}", SOURCE, str(n - 1) if n else None, str(n))


def rest(name: str) -> Append:
    return Append(name.encode(), name, "rest:test")


@pytest.fixture
def proxy(valkey: EmbeddedRedis) -> Iterator[RedisProxy]:
    with RedisProxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: RedisProxy, model_name: str) -> Iterator[RedisLog]:
    """A log behind the proxy, its connection open."""
    with contextlib.closing(connect(proxy.url, timeout_s=0.2)) as client:
        log = RedisLog(client, model_name)
        log.create()
        yield log


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may change."""
    with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
def own_client(own_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(own_server.url)) as client:
        yield client


@pytest.fixture
def own_log(own_client: redis.Redis) -> RedisLog:
    log = RedisLog(own_client, "flights")
    log.create()
    return log


# Replies that are lost


@pytest.mark.parametrize("item", [event(0), rest("a")], ids=["by position", "by id"])
def test_an_append_whose_reply_was_lost_enters_once(
    proxy: RedisProxy, proxied: RedisLog, item: Append
) -> None:
    proxied.append(event(0) if item.seq is None else rest("b"))
    proxy.lose = 1
    assert proxied.append(item) == Appended(Outcome.DUPLICATE, 2, item.seq)
    assert proxied.head().version == 2


def test_after_two_lost_replies_the_caller_decides(proxy: RedisProxy, proxied: RedisLog) -> None:
    proxy.lose = 2
    with pytest.raises(Unavailable, match="cannot be reached"):
        proxied.append(event(0))
    assert proxied.append(event(0)).outcome is Outcome.DUPLICATE
    assert proxied.append(event(1)) == Appended(Outcome.ACCEPTED, 2, "1")


def test_many_appends_whose_reply_was_lost_enter_once_and_in_order(
    proxy: RedisProxy, proxied: RedisLog
) -> None:
    items = [event(n) for n in range(200)]
    proxy.lose = 1
    answers = proxied.append_many(items)
    assert [answer.version for answer in answers] == list(range(1, 201))
    assert [entry.payload for entry in proxied.read(0, 500).entries] == [item.payload for item in items]


def test_every_reading_call_survives_one_lost_reply(proxy: RedisProxy, proxied: RedisLog) -> None:
    proxied.append(event(0))
    calls: list[Callable[[], object]] = [
        proxied.create,
        proxied.head,
        proxied.positions,
        proxied.counters,
        lambda: proxied.read(0, 10),
        lambda: proxied.position(SOURCE),
        lambda: proxied.raise_epoch(2),
    ]
    for call in calls:
        proxy.lose = 1
        call()
        assert proxy.lose == 0
    assert proxied.head().version == 1


def test_a_server_that_is_silent_is_not_asked_twice_and_its_late_reply_is_not_mistaken(
    proxy: RedisProxy, proxied: RedisLog
) -> None:
    proxied.append(event(0))
    before = proxy.requests
    proxy.hold = True
    with pytest.raises(Unavailable, match="did not answer in time"):
        proxied.append(event(1))
    assert proxy.requests == before + 1
    proxy.hold = False
    assert proxied.position(SOURCE) == "1"
    assert proxied.append(event(1)) == Appended(Outcome.DUPLICATE, 2, "1")


# Servers that stop, restart, forget


def test_a_restart_goes_unnoticed_and_loses_nothing(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path)
    with contextlib.closing(connect(first.url)) as client:
        log = RedisLog(client, "flights")
        log.create()
        log.append_many([event(n) for n in range(50)])
        before = log.head(), log.read(0, 100), log.positions()
        os.kill(first.pid, signal.SIGKILL)
        first.stop()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{first.port} cannot be reached"):
            log.head()
        with EmbeddedRedis(tmp_path, port=first.port):
            assert (log.head(), log.read(0, 100), log.positions()) == before
            assert log.append(event(50)).version == 51
        with EmbeddedRedis(tmp_path, port=first.port):
            assert log.append_many([event(51), event(52)])[1].version == 53


def test_a_server_that_forgot_the_scripts_gets_them_again(own_client: redis.Redis, own_log: RedisLog) -> None:
    own_log.append(event(0))
    own_client.script_flush()
    assert own_log.append(event(1)).version == 2
    own_client.script_flush()
    assert own_log.append_many([event(2), event(3)])[1].version == 4
    own_client.script_flush()
    assert len(own_log.read(0, 10).entries) == 4


def test_a_flushed_server_is_told_from_an_empty_log(own_client: redis.Redis, own_log: RedisLog) -> None:
    log_id = own_log.head().log_id
    own_client.flushall()
    with pytest.raises(LogMissing, match="holds no log 'flights'"):
        own_log.append(event(0))
    assert own_log.create().log_id != log_id


def test_a_server_without_memory_refuses_and_keeps_nothing_of_the_event(
    own_client: redis.Redis, own_log: RedisLog
) -> None:
    own_log.append(event(0))
    before = _dump(own_client)
    own_client.config_set("maxmemory", 1)
    with pytest.raises(Unavailable, match="OOM|maxmemory"):
        own_log.append(event(1))
    with pytest.raises(Unavailable, match="OOM|maxmemory") as caught:
        own_log.append_many([event(1), rest("secret")])
    assert "secret" not in str(caught.value) and len(str(caught.value)) < 300
    assert own_log.read(0, 10).head.version == 1
    own_client.config_set("maxmemory", 0)
    assert _dump(own_client) == before
    assert own_log.append(event(1)).version == 2


def test_a_read_only_server_refuses_for_now(own_client: redis.Redis, own_log: RedisLog) -> None:
    own_client.replicaof("127.0.0.1", 1)
    with pytest.raises(Unavailable, match="refuses at the moment"):
        own_log.append(event(0))
    own_client.replicaof("NO", "ONE")
    assert own_log.append(event(0)).version == 1


# Keys that somebody else has changed


def _dump(client: redis.Redis) -> dict[bytes, object]:
    return {key: client.dump(key) for key in client.scan_iter()}


@pytest.mark.parametrize("key", ["head", "log", "sources", "seen:0", "seen:1"])
def test_a_key_of_another_kind_stops_an_append_before_its_first_write(
    own_client: redis.Redis, own_log: RedisLog, key: str
) -> None:
    own_log.append_many([event(0), rest("a")])
    own_client.delete(f"{{odl:flights}}:{key}")
    own_client.set(f"{{odl:flights}}:{key}", "intruder")
    before = _dump(own_client)
    for item in (event(1), Append(b"b", "b", "kafka:new", None, "0")):
        with pytest.raises(HistoryLost, match="restore a backup"):
            own_log.append(item)
        with pytest.raises(HistoryLost):
            own_log.append_many([item])
    assert _dump(own_client) == before


def test_a_stream_that_is_ahead_of_its_head_stops_an_append_before_its_first_write(
    own_client: redis.Redis, own_log: RedisLog
) -> None:
    own_log.append_many([event(0), event(1)])
    own_client.hset(RedisKeys("flights").head, "version", 1)
    before = _dump(own_client)
    with pytest.raises(HistoryLost, match="restore a backup"):
        own_log.append(event(2))
    assert _dump(own_client) == before


def test_a_log_without_its_head_is_not_created_anew(own_client: redis.Redis, own_log: RedisLog) -> None:
    own_log.append(event(0))
    own_client.delete(RedisKeys("flights").head)
    with pytest.raises(HistoryLost, match=r"delete the keys \{odl:flights\}"):
        own_log.create()
    assert own_client.exists(RedisKeys("flights").log) == 1


def test_an_entry_that_was_deleted_is_missing_at_the_readers_own_version(
    own_client: redis.Redis, own_log: RedisLog
) -> None:
    own_log.append_many([event(n) for n in range(5)])
    own_client.xdel(RedisKeys("flights").log, "2-0")
    assert [entry.version for entry in own_log.read(2, 2).entries] == [3, 4]
    assert [entry.version for entry in own_log.read(1, 2).entries] == [1, 3, 4]


# Limits


@pytest.mark.parametrize("version", [10**14, 10**15, 2**52])
def test_versions_stay_whole_numbers_however_large(
    own_client: redis.Redis, own_log: RedisLog, version: int
) -> None:
    """Lua would print 10^14 as 1e+14."""
    own_client.hset(RedisKeys("flights").head, "version", version - 1)
    assert own_log.append(rest("a")).version == version
    assert own_log.append(rest("b")).version == version + 1
    assert [entry.version for entry in own_log.read(version, 5).entries] == [version, version + 1]
    assert own_log.append(rest("a")) == Appended(Outcome.DUPLICATE, version, None)


def test_models_on_one_server_do_not_meet(redis_client: redis.Redis, model_name: str) -> None:
    logs: list[Log] = [RedisLog(redis_client, f"{model_name}{suffix}") for suffix in ("", "x", ".x")]
    for number, log in enumerate(logs):
        log.create()
        log.append_many([rest(str(n)) for n in range(number)])
    assert [log.head().version for log in logs] == [0, 1, 2]
    assert len({log.head().log_id for log in logs}) == 3


@pytest.mark.parametrize("name", ["", "a b", "a}b", "{a", "ü", "-a", "a" * 101, "a\n"])
def test_a_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="expected a model name"):
        RedisKeys(name)


def test_the_share_of_memory_in_use_is_what_the_server_tells(
    redis_client: redis.Redis, model_name: str
) -> None:
    log = RedisLog(redis_client, model_name)
    used = int(redis_client.info("memory")["used_memory"])
    redis_client.config_set("maxmemory", 100 * used)
    try:
        assert 0.005 < log.fullness() < 0.1
    finally:
        redis_client.config_set("maxmemory", 0)
    assert log.fullness() == 0.0


# Reads that are begun, and fetched later


def begun(log: RedisLog) -> Coming:
    part = log.read(0, 2)
    assert part.begin is not None
    return part.begin(2, 2)


def test_a_read_that_was_begun_is_as_any_read(own_log: RedisLog) -> None:
    own_log.append_many([event(n) for n in range(5)])
    coming = begun(own_log)
    own_log.append(event(5))  # the server has answered before it enters, or sees it: both are right
    part = coming.get()
    assert part == replace(own_log.read(2, 2), head=part.head)
    assert part.head.version in (5, 6)
    coming.drop()
    assert own_log.read(0, 10).head.version == 6


def test_a_read_that_nobody_fetches_leaves_no_reply_to_the_next_one(
    own_client: redis.Redis, own_log: RedisLog
) -> None:
    own_log.append_many([event(n) for n in range(5)])
    for _ in range(3):
        begun(own_log).drop()
        assert [entry.version for entry in own_log.read(0, 3).entries] == [1, 2, 3]
    assert len(own_client.client_list()) < 8


@pytest.mark.parametrize("trouble", ["scripts forgotten", "connections closed"])
def test_a_read_that_fails_after_it_was_begun_is_made_anew(
    own_client: redis.Redis, own_log: RedisLog, trouble: str
) -> None:
    own_log.append_many([event(n) for n in range(5)])
    part = own_log.read(0, 2)
    assert part.begin is not None
    if trouble == "scripts forgotten":
        own_client.script_flush()
        coming = part.begin(2, 2)
    else:
        coming = part.begin(2, 2)
        own_client.client_kill_filter(_type="normal", skipme=True)
    assert [entry.version for entry in coming.get().entries] == [2, 3, 4]


def test_a_server_that_is_gone_when_the_reply_is_fetched_is_out_of_reach(
    own_server: EmbeddedRedis, own_client: redis.Redis, own_log: RedisLog
) -> None:
    own_log.append_many([event(n) for n in range(5)])
    part = own_log.read(0, 2)
    own_server.stop()
    assert part.begin is not None
    with pytest.raises(Unavailable, match="cannot be reached"):
        part.begin(2, 2).get()
