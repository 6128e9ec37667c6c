"""The consumer as a process: killed at any moment, stopped by a signal, ended by a bug."""

import random
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from odl.redis_log import RedisLog

SCRIPT = """
import signal, sys
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from streaming.consumer import FeedbackConsumer
from streaming.dead_letters import DeadLetters

class Open:
    def check_features(self, x):
        if "bug" in x:
            raise ZeroDivisionError("a bug")
    def check_label(self, y): pass

brokers, topic, group, redis, name = sys.argv[1:]
consumer = FeedbackConsumer(
    brokers, topic, group, RedisLog(connect(redis), name), Open(), DeadLetters(brokers, topic + "-dead"),
    batch_max=20, options={"session.timeout.ms": 1500, "heartbeat.interval.ms": 300},
)
signal.signal(signal.SIGTERM, lambda *_: consumer.stop())
consumer.run()
"""


@pytest.fixture
def stream(new_stream, redis_client, model_name):
    return new_stream(2, RedisLog(redis_client, model_name))


@pytest.fixture
def start(stream, valkey_url, model_name):
    """Start a consumer process; whatever still runs at the end of the test is killed."""
    with ExitStack() as stack:

        def start():
            command = [sys.executable, "-c", SCRIPT, stream.broker.bootstrap, stream.topic, stream.group]
            process = subprocess.Popen([*command, valkey_url, model_name], stderr=subprocess.PIPE)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start


def test_kill_9_at_any_moment_loses_and_doubles_nothing(stream, start):
    random.seed(3)
    ids, killed_at = [], []
    for start_at in range(0, 3000, 1000):
        ids += stream.produce(start_at, start_at + 1000)
        process = start()
        stream.wait_for_version(start_at + random.randint(1, 900))
        process.kill()
        process.wait()
        killed_at.append(stream.log.head().version)
    start()
    stream.wait_for_version(3000)
    assert any(version % 1000 for version in killed_at), f"no kill landed in the middle: {killed_at}"
    assert sorted(stream.log.ids()) == sorted(ids)


def test_it_ends_by_itself_on_a_signal(stream, start):
    stream.produce(0, 10)
    process = start()
    stream.wait_for_version(10)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")


def test_a_bug_ends_it_with_an_error(stream, start):
    stream.produce_raw(b'{"id":"a","x":{"bug":1},"y":"a"}')
    stream.flush()
    process = start()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.decode().splitlines()[-1] == "ZeroDivisionError: a bug"
    assert stream.log.head().version == 0
