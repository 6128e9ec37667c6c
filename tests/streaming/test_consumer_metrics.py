"""What a consumer tells Prometheus: what became of each message, and how far Kafka is ahead."""

import re
import socket

import httpx
import pytest

from odl.errors import Misconfigured
from streaming.connection import admin_client
from streaming.consumer import ConsumerStats
from streaming.metrics import ConsumerMetrics, lags


def samples(port: int) -> dict[str, float]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    return {name: float(value) for name, value in re.findall(r"^(odl_\S+) (\S+)$", text, re.MULTILINE)}


def test_the_lag_is_what_the_log_has_not_passed(new_stream, wait_until) -> None:
    stream = new_stream(2)
    admin = admin_client(stream.broker.bootstrap)

    def lag() -> dict[int, int]:
        return lags(admin, stream.topic, stream.log)

    stream.log.create()
    assert lag() == {0: 0, 1: 0}
    stream.produce(0, 30)
    stream.produce_raw(b"junk", partition=1)
    stream.flush()
    assert sum(lag().values()) == 31
    stream.start()
    wait_until(lambda: lag() == {0: 0, 1: 0}, "the log has passed everything, dead letters included")


def test_counts_and_lag_are_scraped() -> None:
    stats = ConsumerStats(accepted=7, dead_letters=2, retries=3)
    metrics = ConsumerMetrics(lambda: stats, lambda: {0: 5, 1: 0})
    port = metrics.start(0)
    try:
        metrics.look()
        found = samples(port)
    finally:
        metrics.stop()
    assert found['odl_consumer_events_total{outcome="accepted"}'] == 7
    assert found['odl_consumer_events_total{outcome="dead_letters"}'] == 2
    assert (found["odl_consumer_retries_total"], found["odl_kafka_up"]) == (3, 1)
    assert (found['odl_kafka_lag{partition="0"}'], found['odl_kafka_lag{partition="1"}']) == (5, 0)


def test_kafka_that_is_away_is_told_with_the_last_lag(new_stream, wait_until) -> None:
    stream = new_stream(1)
    stream.log.create()
    admin = admin_client(stream.broker.bootstrap)
    metrics = ConsumerMetrics(ConsumerStats, lambda: lags(admin, stream.topic, stream.log, 1.0))

    def is_seen() -> bool:
        metrics.look()
        return metrics._kafka_up == 1.0

    wait_until(is_seen, "Kafka answers within a second")
    stream.broker.set_down()
    try:
        metrics.look()
    finally:
        stream.broker.set_up()
    families = {metric.name: [sample.value for sample in metric.samples] for metric in metrics.collect()}
    assert (families["odl_kafka_lag"], families["odl_kafka_up"]) == ([0], [0])


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        metrics = ConsumerMetrics(ConsumerStats, dict)
        with pytest.raises(Misconfigured, match="choose another --metrics-port"):
            metrics.start(taken.getsockname()[1])
