"""Which servers are refused at start, and what is said of them."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_proxy import RedisProxy

from odl.embedded_redis import EmbeddedRedis
from odl.errors import Misconfigured, Unavailable
from odl.redis_connection import check_server, connect
from odl.redis_script import address_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """Settings of the server are put back afterwards."""
    names = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "requirepass")
    with contextlib.closing(connect(server.url)) as client:
        before = client.config_get(*names)
        yield client
        client.replicaof("NO", "ONE")
        for name, value in before.items():
            client.config_set(name, value)
        client.acl_deluser("limited")


def limited(server: EmbeddedRedis, client: redis.Redis, *rules: str) -> redis.Redis:
    """A client of a user that may do everything except `rules`."""
    client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pass/wörd", "~*", "+@all", *rules)
    return connect(f"redis://limited:pass%2Fw%C3%B6rd@127.0.0.1:{server.port}/0")


def test_a_server_that_fits_is_described(client: redis.Redis, server: EmbeddedRedis) -> None:
    facts = check_server(client, require_fsync_always=True)
    assert facts.address == f"127.0.0.1:{server.port}"
    assert facts.product.startswith("valkey 9")
    assert (facts.appendonly, facts.appendfsync, facts.memory_max_bytes) == (True, "always", 0)
    assert facts.warnings == ()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_evicts_is_refused(client: redis.Redis, policy: str) -> None:
    client.config_set("maxmemory-policy", policy)
    with pytest.raises(Misconfigured, match=f"{policy}.*CONFIG SET maxmemory-policy noeviction"):
        check_server(client, require_fsync_always=False)


def test_a_server_without_a_file_is_refused(client: redis.Redis) -> None:
    client.config_set("appendonly", "no")
    for require_fsync_always in (True, False):
        with pytest.raises(Misconfigured, match="CONFIG SET appendonly yes"):
            check_server(client, require_fsync_always)


@pytest.mark.parametrize("fsync", ["everysec", "no"])
def test_lazy_fsync_is_refused_unless_kafka_keeps_the_feedback(client: redis.Redis, fsync: str) -> None:
    client.config_set("appendfsync", fsync)
    with pytest.raises(Misconfigured, match="CONFIG SET appendfsync always"):
        check_server(client, require_fsync_always=True)
    assert check_server(client, require_fsync_always=False).appendfsync == fsync


def test_a_replica_is_refused(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", 1)
    with pytest.raises(Misconfigured, match="address of its primary"):
        check_server(client, require_fsync_always=True)


def test_where_config_is_forbidden_info_is_asked_and_what_it_does_not_tell_is_a_warning(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    with contextlib.closing(limited(server, client, "-config")) as user:
        facts = check_server(user, require_fsync_always=True)
        assert (facts.appendonly, facts.appendfsync) == (True, None)
        assert "does not tell its appendfsync" in facts.warnings[0]
        assert check_server(user, require_fsync_always=False).warnings == ()
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(Misconfigured, match="allkeys-lru"):
            check_server(user, require_fsync_always=False)


def test_where_nothing_may_be_asked_the_server_is_refused(server: EmbeddedRedis, client: redis.Redis) -> None:
    with (
        contextlib.closing(limited(server, client, "-config", "-info")) as user,
        pytest.raises(Misconfigured, match="refuses this user"),
    ):
        check_server(user, require_fsync_always=False)


def test_a_wrong_password_is_refused_and_never_shown(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.config_set("requirepass", "right")
    try:
        for url in (f"redis://:wr0ng@127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"):
            with (
                contextlib.closing(connect(url)) as stranger,
                pytest.raises(Misconfigured, match="refuses this user") as caught,
            ):
                check_server(stranger, require_fsync_always=False)
            assert "wr0ng" not in str(caught.value)
    finally:
        client.config_set("requirepass", "")


def test_a_server_that_is_not_there_is_named_in_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with (
            contextlib.closing(connect(f"redis://user:s3cret@127.0.0.1:{port}")) as client,
            pytest.raises(Unavailable, match=f"Redis at 127.0.0.1:{port} cannot be reached") as caught,
        ):
            check_server(client, require_fsync_always=False)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_silent_is_unavailable(valkey: EmbeddedRedis) -> None:
    with RedisProxy(valkey.port) as proxy, contextlib.closing(connect(proxy.url, timeout_s=0.1)) as client:
        proxy.hold = True
        with pytest.raises(Unavailable, match="did not answer in time"):
            check_server(client, require_fsync_always=False)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "http://:s3cret@localhost", "redis://:s3/cret@localhost", "redis://h:s3cret"],
)
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(Misconfigured, match="expected a Redis URL such as") as caught:
        connect(url)
    assert "s3" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_addresses_show_where_but_never_who() -> None:
    assert address_of(connect("redis://user:s3cret@example:7000/3")) == "example:7000"
    assert address_of(connect("rediss://:s3cret@example")) == "example:6379"
    assert address_of(connect("unix://user:s3cret@/run/redis.sock")) == "unix:/run/redis.sock"


def test_the_client_never_repeats_a_command_by_itself(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    """redis-py would, ten times by default: an increment whose reply is lost would count twice."""
    with RedisProxy(valkey.port) as proxy, contextlib.closing(connect(proxy.url)) as client:
        client.set("counter", 0)
        proxy.lose = 1
        with pytest.raises(redis.exceptions.ConnectionError):
            client.incr("counter")
        assert client.get("counter") == b"1"
