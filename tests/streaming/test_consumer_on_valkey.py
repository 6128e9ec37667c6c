"""Kafka into a real server: the same promises as with the log in memory."""

import contextlib
import random

import pytest

from odl.embedded_redis import EmbeddedRedis
from odl.redis_connection import connect
from odl.redis_log import RedisLog


@pytest.fixture
def log(redis_client, model_name):
    return RedisLog(redis_client, model_name)


def test_crashes_and_lost_replies_lose_and_double_nothing(new_stream, log):
    stream = new_stream(1, log)
    ids = stream.produce(0, 1500)
    random.seed(2)
    for _ in range(4):
        faults = [stream.log.lost_reply, stream.log.half, stream.log.away]
        stream.log.script = [*random.sample(faults, 3), stream.log.crash]
        crashed = stream.start(batch_max=random.randint(20, 120))
        crashed.join()
        assert str(crashed.error) == "a bug"
    stream.start()
    stream.wait_for_version(1500)
    assert stream.log.ids() == ids


def test_a_consumer_that_is_restarted_again_and_again_loses_and_doubles_nothing(new_stream, log):
    stream = new_stream(3, log)
    chance = random.Random(11)
    ids = []
    for first in range(0, 1500, 300):
        ids += stream.produce(first, first + 300)
        running = stream.start(batch_max=chance.randint(5, 60))
        stream.wait_for_version(first + chance.randint(1, 250))
        running.stop()
        assert running.error is None
    stream.start()
    stream.wait_for_version(1500)
    assert sorted(stream.log.ids()) == sorted(ids)
    for partition in range(3):
        numbers = [event.x["number"] for event in stream.log.events() if event.x["number"] % 3 == partition]
        assert numbers == sorted(numbers), "out of order within a partition"


def test_two_consumers_and_poison_end_in_one_log_without_a_doubled_event(new_stream, log, wait_until):
    stream = new_stream(4, log)
    ids = []
    running = [stream.start(batch_max=40), stream.start(batch_max=70)]
    for start in range(0, 2000, 200):
        ids += stream.produce(start, start + 200)
        stream.produce(start, start + 20)  # sent twice
        stream.produce_raw(b"junk", partition=start // 200 % 4)
        stream.flush()
        if start == 800:
            running[0].stop()
            running.append(stream.start())
    stream.wait_for_version(2000)
    wait_until(lambda: len(stream.dead()) == 10, "ten dead letters")
    assert sorted(stream.log.ids()) == sorted(ids)
    assert [one.error for one in running] == [None] * 3


def test_a_log_that_was_deleted_is_filled_again(new_stream, log, redis_client, wait_until):
    stream = new_stream(2, log)
    ids = stream.produce(0, 300)
    running = stream.start()
    stream.wait_for_version(300)
    wait_until(lambda: running.consumer.stats().accepted == 300, "all counted")
    redis_client.delete(*redis_client.keys(f"{{odl:{log._name}}}*"))
    ids += stream.produce(300, 310)
    wait_until(lambda: running.consumer.stats().accepted >= 610, "everything again")
    assert sorted(stream.log.ids()) == sorted(ids)


def test_a_server_that_was_stopped_is_waited_for(new_stream, tmp_path, wait_until):
    with contextlib.ExitStack() as servers:
        server = servers.enter_context(EmbeddedRedis(tmp_path))
        client = servers.enter_context(contextlib.closing(connect(server.url)))
        stream = new_stream(1, RedisLog(client, "model"))
        ids = stream.produce(0, 100)
        running = stream.start()
        stream.wait_for_version(100)
        server.stop()
        ids += stream.produce(100, 200)
        wait_until(lambda: running.consumer.stats().retries >= 2, "two attempts in vain")
        servers.enter_context(EmbeddedRedis(tmp_path, port=server.port))
        wait_until(lambda: running.consumer.stats().accepted >= 200, "the rest")
        assert stream.log.ids() == ids
        running.stop()
        assert running.error is None
