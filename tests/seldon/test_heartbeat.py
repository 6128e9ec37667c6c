"""Replicas say where they stand, and leave."""

from odl.replicas import MemoryReplicas
from seldon.heartbeat import Heartbeat


def test_a_beat_tells_version_chain_and_address(bench) -> None:
    replicas = MemoryReplicas()
    Heartbeat(bench.replica, replicas, "http://127.0.0.1:9000").beat()
    (record,) = replicas.list()
    assert (record.id, record.version, record.epoch) == ("test", 0, 1)
    assert (record.url, record.fold_id) == ("http://127.0.0.1:9000", "counting")


def test_the_digest_is_told_once_a_replica_is_idle(bench) -> None:
    replicas = MemoryReplicas()
    heartbeat = Heartbeat(bench.replica, replicas, "")
    heartbeat.beat()
    assert replicas.list()[0].digest == ""
    heartbeat.beat()
    assert replicas.list()[0].digest == bench.replica.status().digest


def test_who_stops_says_goodbye(bench) -> None:
    clock = [0]
    replicas = MemoryReplicas(lambda: clock[0])
    heartbeat = Heartbeat(bench.replica, replicas, "")
    heartbeat.start()
    heartbeat.stop()
    clock[0] += 1
    assert replicas.list() == []


def test_a_replica_that_is_gone_does_not_end_the_thread_with_an_error(bench) -> None:
    bench.replica.stop()
    replicas = MemoryReplicas()
    heartbeat = Heartbeat(bench.replica, replicas, "")
    heartbeat.start()
    heartbeat.stop()
    assert replicas.list() == []
