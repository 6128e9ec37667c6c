"""The embedded broker as a process: starts with its topics, ends when told and when nobody is left."""

import os
import signal
import subprocess
import sys

import pytest

from odl.errors import Misconfigured, Unavailable
from streaming.connection import admin_client, check_broker
from streaming.embedded_broker import BrokerProcess, EmbeddedBroker
from streaming.source import identify


def partitions(bootstrap):
    topics = admin_client(bootstrap).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def test_it_starts_with_the_topics_that_were_asked_for():
    with EmbeddedBroker({"feedback": 3, "dead": 1}) as broker:
        assert partitions(broker.bootstrap) == {"feedback": 3, "dead": 1}
    broker.close()


def test_topics_that_cannot_be_are_refused():
    with EmbeddedBroker({"feedback": 3}) as broker:
        with pytest.raises(Misconfigured, match="exist already"):
            broker.create_topic("feedback", 3)
        with pytest.raises(Misconfigured, match="expected 1 to 1000 partitions for 'none', received 0"):
            broker.create_topic("none", 0)


def test_every_start_is_another_cluster_with_other_topics():
    keys = set()
    for _ in range(3):
        with BrokerProcess({"feedback": 1}) as broker:
            keys.add(identify(admin_client(broker.bootstrap), "feedback").source(0))
    assert len(keys) == 3
    assert len({key.split(":")[2] for key in keys}) == 3, "topic ids differ by themselves"


def test_it_serves_other_processes_and_ends_when_closed():
    with BrokerProcess({"feedback": 2}) as broker:
        assert partitions(broker.bootstrap) == {"feedback": 2}
        assert broker.is_alive()
    assert not broker.is_alive()
    with pytest.raises(Unavailable):
        check_broker(broker.bootstrap, timeout_s=1.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal(number, tmp_path, wait_until):
    address = tmp_path / "address"
    command = [sys.executable, "-m", "streaming.embedded_broker", "--address-file", str(address)]
    process = subprocess.Popen([*command, "--topic", "feedback:2"], stderr=subprocess.PIPE)
    try:
        wait_until(address.exists, "the address is written")
        assert partitions(address.read_text().strip()) == {"feedback": 2}
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, b"")


def test_it_prints_its_address_without_a_file():
    process = subprocess.Popen([sys.executable, "-m", "streaming.embedded_broker"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert check_broker(process.stdout.readline().decode().strip())
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0


def test_it_ends_with_the_process_that_started_it(wait_until):
    """Even if that one is killed."""
    script = (
        "import sys, time; from streaming.embedded_broker import BrokerProcess; broker = BrokerProcess();"
        "print(broker.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until(lambda: not alive(pid), "the broker ends")


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_wrong_topics_are_explained():
    command = [sys.executable, "-m", "streaming.embedded_broker", "--topic", "feedback:many"]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert b"expected NAME:PARTITIONS such as feedback:4, received 'feedback:many'" in ended.stderr


def test_a_broker_that_is_away_is_one_clear_line():
    with EmbeddedBroker() as broker:
        bootstrap = broker.bootstrap
    script = f"from streaming.connection import check_broker; check_broker('{bootstrap}', timeout_s=0.5)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    lines = ended.stderr.decode().splitlines()
    assert lines[-1] == (
        f"odl.errors.Unavailable: no Kafka broker answers at {bootstrap} within 0.5 s: "
        "start it, or correct --kafka (ODL_KAFKA)"
    )
    assert not [line for line in lines if "rdkafka" in line], "the client's own lines are not for users"


def test_a_broker_that_answers_gives_its_cluster_id():
    with EmbeddedBroker() as broker:
        assert check_broker(broker.bootstrap).startswith("mockCluster")


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(Misconfigured, match="Kafka settings were refused"):
        check_broker("127.0.0.1:1", options={"security.protocol": "carrier pigeon"})
