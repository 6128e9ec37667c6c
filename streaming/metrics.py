"""Counts of a consumer for Prometheus, on a port of its own: what it did, and how far Kafka is ahead."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client import CollectorRegistry, Metric, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from odl.errors import Misconfigured, OdlError
from odl.log import Log
from streaming.connection import REQUEST_TIMEOUT_S, as_odl_error
from streaming.source import find_start, identify
from streaming.steps import ConsumerStats

LOOK_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class ConsumerMetrics(Collector):
    """What a consumer has done, at the scrape; the lag of its topic, looked at beside it."""

    def __init__(self, stats: Callable[[], ConsumerStats], lags: Callable[[], Mapping[int, int]]) -> None:
        """`lags`: messages of each partition that the log has not passed; raises `Unavailable`."""
        self._stats = stats
        self._read_lags = lags
        self._lags: Mapping[int, int] = {}
        self._kafka_up = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer metrics", daemon=True)

    def start(self, port: int, host: str = "127.0.0.1") -> int:
        """Answer at `http://host:port/metrics`; port 0 picks a free one. The port.
        Raises `Misconfigured` when it cannot be had."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        try:
            self._server, self._serving = start_http_server(port, host, registry)
        except (OSError, OverflowError) as error:
            raise Misconfigured(
                f"cannot listen on {host}:{port}: choose another --metrics-port ({error})"
            ) from error
        self._thread.start()
        return int(self._server.server_port)

    def stop(self) -> None:
        """Answer nothing more."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._serving.join()
        self._thread.join(REQUEST_TIMEOUT_S)

    def look(self) -> None:
        """Ask Kafka and the log once how far they are apart."""
        try:
            self._lags = self._read_lags()
            self._kafka_up = 1.0
        except OdlError as error:  # the next look asks again
            logger.debug("no lag: %s", error)
            self._kafka_up = 0.0

    def collect(self) -> Iterator[Metric]:
        """What is known, as Prometheus' families."""
        stats = asdict(self._stats())
        events = CounterMetricFamily(
            "odl_consumer_events", "Messages by what became of them, by this process", labels=["outcome"]
        )
        for outcome, count in stats.items():
            if outcome != "retries":
                events.add_metric([outcome], count)
        yield events
        retries = stats["retries"]
        yield CounterMetricFamily("odl_consumer_retries", "Calls that had to be repeated", value=retries)
        lag = GaugeMetricFamily(
            "odl_kafka_lag", "Messages of a partition that the log has not passed", labels=["partition"]
        )
        for partition, behind in sorted(self._lags.items()):
            lag.add_metric([str(partition)], behind)
        yield lag
        yield GaugeMetricFamily(
            "odl_kafka_up", "Whether Kafka answered at the last look", value=self._kafka_up
        )

    def _run(self) -> None:
        self.look()
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()


def lags(admin: AdminClient, topic: str, log: Log, timeout_s: float = REQUEST_TIMEOUT_S) -> dict[int, int]:
    """Partition -> messages that the log has not passed, dead letters and tombstones included.
    Raises `Unavailable`."""
    identity = identify(admin, topic, timeout_s)
    positions = log.positions()
    try:
        partitions = admin.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        lows, highs = (
            _offsets(admin, topic, partitions, spec, timeout_s)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
    except KafkaException as error:
        raise as_odl_error(f"topic '{topic}'", error.args[0]) from error
    return {
        each: highs[each] - find_start(positions, identity.source(each), lows[each], highs[each]).offset
        for each in partitions
    }


def _offsets(
    admin: AdminClient, topic: str, partitions: Mapping[int, object], spec: OffsetSpec, timeout_s: float
) -> dict[int, int]:
    wanted = {TopicPartition(topic, each): spec for each in partitions}
    answers = admin.list_offsets(wanted, request_timeout=timeout_s)
    return {asked.partition: answers[asked].result(timeout_s + 1.0).offset for asked in answers}
