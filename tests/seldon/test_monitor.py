"""What a replica finds out beside its work, and that its counts add up over processes."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from odl.errors import Unavailable
from odl.event import Event, encode
from odl.log import Append
from odl.memory import MemoryLock, MemorySnapshots
from odl.recent import Recent
from odl.redis_connection import connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.replicas import MemoryReplicas, RedisReplicas
from seldon.heartbeat import Heartbeat
from seldon.labels import OTHER
from seldon.metrics import SAMPLED_FIELDS_MAX, SAMPLED_MAX, PlaneMetrics
from seldon.monitor import FACTS_HELP, Monitor
from seldon.surroundings import surroundings

QUESTION = {"jsonData": {"origin": "JFK", "distance": 1400}}


def exposed(collector: Monitor | PlaneMetrics) -> dict[str, float]:
    """Every sample with its labels, as Prometheus would read it."""
    if isinstance(collector, PlaneMetrics):
        text = collector.exposition({})
    else:
        registry = CollectorRegistry()
        registry.register(collector)
        text = generate_latest(registry)
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text.decode(), re.MULTILINE)}


def enter(log, start: int, count: int, label: str) -> None:
    for number in range(start, start + count):
        event = Event(id=f"e-{number}", x={"distance": 1}, y=label, source="rest:test")
        log.append(Append(encode(event), event.id, event.source))


def test_scores_of_late_follow_the_log(bench) -> None:
    monitor = Monitor(bench.replica, PlaneMetrics(), dict, Recent(window=20))
    bench.replica.predict([]).result()
    monitor.look()
    for start, label in ((0, "late"), (50, "on time")):
        enter(bench.log, start, 50, label)
        bench.replica.predict([]).result()
        monitor.look()
    found = exposed(monitor)
    assert found['odl_recent_events{over="window"}'] == 50
    assert found['odl_recent_accuracy{over="window"}'] == 0.0  # it had only seen the other class
    assert found['odl_recent_base_rate_accuracy{over="window"}'] == 1.0
    assert found["odl_replica_lag_seconds"] < 60


def test_away_surroundings_are_told_and_scores_go_on(bench) -> None:
    def away() -> dict[str, float]:
        raise Unavailable("Redis is away")

    monitor = Monitor(bench.replica, PlaneMetrics(), away)
    enter(bench.log, 0, 5, "late")
    bench.replica.predict([]).result()
    monitor.look()
    found = exposed(monitor)
    assert found["odl_redis_up"] == 0.0 and "odl_log_head_version" not in found
    assert found['odl_recent_events{over="faded"}'] == 5.0


def test_facts_of_redis_are_named_and_true(redis_client, model_name: str, bench) -> None:
    log, replicas = RedisLog(redis_client, model_name), RedisReplicas(redis_client, model_name)
    log.create()
    lock = RedisLock(redis_client, model_name)
    enter(log, 0, 3, "late")
    Heartbeat(bench.replica, replicas, "").beat()
    parts = redis_client, log, RedisSnapshots(redis_client, model_name), lock, replicas
    facts = surroundings(*parts, "test")
    assert set(facts) <= set(FACTS_HELP)
    assert (facts["log_head_version"], facts["snapshot_behind"], facts["replicas"]) == (3, 3, 1)
    assert facts["redis_memory_used_bytes"] > 0 and facts["lock_held"] == 0
    lease = lock.acquire("snapshot by test", 60_000)
    assert lease is not None
    assert surroundings(*parts, "test")["lock_held_here"] == 1
    assert surroundings(*parts, "other")["lock_held_here"] == 0


def test_facts_of_a_server_that_is_away_are_unavailable(bench) -> None:
    parts = MemorySnapshots(bench.log), MemoryLock(), MemoryReplicas()
    with pytest.raises(Unavailable):
        surroundings(connect("redis://127.0.0.1:1/0", timeout_s=0.5), bench.log, *parts, "test")


def test_a_thousand_clients_are_fifty_one_series() -> None:
    metrics = PlaneMetrics()
    message = {"meta": {"tags": {"outcome": "accepted"}}}
    for number in range(1_000):
        metrics.count_feedback(message, 0.001, f"client-{number}")
    found = {name: value for name, value in exposed(metrics).items() if "odl_feedback_events_total" in name}
    assert len(found) == 51 and sum(found.values()) == 1_000
    assert found[f'odl_feedback_events_total{{outcome="accepted",source="{OTHER}"}}'] == 950


def test_what_waits_to_be_looked_at_is_bounded(bench) -> None:
    metrics = PlaneMetrics()
    answer = bench.replica.predict([{"distance": 1.0}]).result()
    for _ in range(10 * SAMPLED_MAX):
        metrics.count_predictions([{"distance": 1.0}], answer, 0.001)
    metrics.count_predictions([dict.fromkeys(map(str, range(SAMPLED_FIELDS_MAX + 1)), 1.0)], answer, 0.001)
    metrics.look()
    found = exposed(metrics)
    assert found["odl_prediction_confidence_count"] == SAMPLED_MAX
    assert found['odl_predictions_total{outcome="fresh",source="seldon"}'] == 10 * SAMPLED_MAX + 1


def test_each_process_counts_its_own_requests_and_all_show_the_same_fold(serve) -> None:
    one, two = serve(), serve()
    for server, count in ((one, 2), (two, 3)):
        for _ in range(count):
            assert server.post("/predict", QUESTION).status_code == 200
    truth = {"request": QUESTION | {"meta": {"puid": "p-1"}}, "truth": {"strData": "late"}}
    one.post("/send-feedback", truth)
    two.post("/predict", QUESTION)
    texts = [server.get("/metrics").text for server in (one, two)]
    counted = [
        re.findall(r'^odl_predictions_total\{outcome="fresh",source="seldon"\} (\S+)', t, re.M) for t in texts
    ]
    assert counted == [["2.0"], ["4.0"]]
    assert all("\nodl_replica_version 1.0\n" in text for text in texts)
