"""Connections that stay in hand: as many as commands run at once, and none that is dead is used twice."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from odl.embedded_redis import EmbeddedRedis
from odl.redis_connection import connect
from odl.redis_lines import Lines

COUNT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
def client(valkey: EmbeddedRedis, model_name: str) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(f"{valkey.url}?client_name={model_name}")) as client:
        yield client


def connections(other: redis.Redis, name: str) -> int:
    return sum(each["name"] == name for each in other.client_list())


def test_commands_one_after_the_other_share_one_connection(
    client: redis.Redis, redis_client: redis.Redis, model_name: str
) -> None:
    lines = Lines(client)
    answers = [lines.execute("EVAL", COUNT, 1, f"{model_name}:count") for _ in range(5)]
    assert answers == [1, 2, 3, 4, 5]
    assert connections(redis_client, model_name) == 1


def test_an_error_that_the_server_answers_leaves_the_connection_in_use(
    client: redis.Redis, redis_client: redis.Redis, model_name: str
) -> None:
    lines = Lines(client)
    for _ in range(3):
        with pytest.raises(redis.exceptions.NoScriptError):
            lines.execute("EVALSHA", "0" * 40, 0)
    assert lines.execute("ECHO", "still here") == b"still here"
    assert connections(redis_client, model_name) == 1


def test_many_commands_are_answered_in_order_with_the_errors_in_their_places(
    client: redis.Redis, redis_client: redis.Redis, model_name: str
) -> None:
    lines, key = Lines(client), f"{model_name}:count"
    count = ("EVAL", COUNT, 1, key)
    assert lines.execute_many([count]) == [1]
    before = redis_client.info("stats")["total_reads_processed"]
    first, refused, last = lines.execute_many([count, ("EVALSHA", "0" * 40, 0), count])
    assert (first, last) == (2, 3)
    assert isinstance(refused, redis.exceptions.NoScriptError)
    assert redis_client.info("stats")["total_reads_processed"] - before <= 3  # this one's INFO among them
    assert lines.execute_many([count] * 500) == list(range(4, 504))
    assert connections(redis_client, model_name) == 1


def test_many_commands_of_which_the_server_answered_some_are_in_doubt(
    client: redis.Redis, redis_client: redis.Redis, model_name: str
) -> None:
    lines = Lines(client)
    [number] = lines.execute_many([("CLIENT", "ID")])
    count = ("EVAL", COUNT, 1, f"{model_name}:count")
    with pytest.raises(redis.exceptions.ConnectionError):
        lines.execute_many([count, ("CLIENT", "KILL", "ID", number, "SKIPME", "no"), count])
    assert lines.execute("GET", f"{model_name}:count") == b"1"
    assert connections(redis_client, model_name) == 1


def test_threads_do_not_mix_their_answers(client: redis.Redis) -> None:
    lines = Lines(client)
    with ThreadPoolExecutor(8) as pool:
        said = [str(number) for number in range(800)]
        assert list(pool.map(lambda text: lines.execute("ECHO", text).decode(), said)) == said


def test_after_the_server_hung_up_the_second_try_is_answered(
    client: redis.Redis, redis_client: redis.Redis, model_name: str
) -> None:
    lines = Lines(client)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: lines.execute("EVAL", "return 1", 0), range(40)))
    for each in redis_client.client_list():
        if each["name"] == model_name:
            redis_client.client_kill_filter(_id=each["id"])
    with pytest.raises(redis.exceptions.ConnectionError):
        lines.execute("PING")
    assert lines.execute("ECHO", "again") == b"again"


def test_they_close_with_the_client(client: redis.Redis, redis_client: redis.Redis, model_name: str) -> None:
    lines = Lines(client)
    lines.execute("PING")
    client.close()
    deadline = time.monotonic() + 60
    while connections(redis_client, model_name):
        assert time.monotonic() < deadline, "a connection stays open"
        time.sleep(0.01)
