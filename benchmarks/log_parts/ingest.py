"""Kafka → log by one consumer: pipelined, and the same consumer appending one by one."""

import math
import threading
import time
from typing import Any

from log_parts.scene import events, median, new_log, server, spec_of
from odl.log import Append, Appended
from odl.redis_log import RedisLog
from streaming.consumer import FeedbackConsumer
from streaming.dead_letters import DeadLetters
from streaming.embedded_broker import BrokerProcess
from streaming.producer import FeedbackProducer

TOPIC = "feedback"
PARTITIONS = 4  # the mock broker keeps 5 MiB of each
ROUNDS = 3
WAIT_S_MAX = 600.0


class Timed:
    """A log that notes how fast it is filled. `one_by_one`: a batch is one round trip an event."""

    def __init__(self, log: RedisLog, one_by_one: bool) -> None:
        self._log = log
        self._one_by_one = one_by_one
        self._begun = self._ended = math.nan
        self._events = 0

    def append_many(self, items: list[Append]) -> list[Appended]:
        if not self._events:
            self._begun = time.perf_counter()
        if self._one_by_one:
            answers = [self._log.append(item) for item in items]
        else:
            answers = self._log.append_many(items)
        self._ended = time.perf_counter()
        self._events += len(items)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def rate(self) -> float:
        """Events a second from the first batch on: without start and assignment."""
        return self._events / (self._ended - self._begun)


def measure(size: float) -> dict[str, float]:
    """Rates of both, taken in turns over one topic."""
    count = max(int(40_000 * size), 1_200)
    rates: dict[bool, list[float]] = {True: [], False: []}
    with server() as (_, client), BrokerProcess({TOPIC: PARTITIONS}) as broker:
        with FeedbackProducer(broker.bootstrap, TOPIC, timeout_s=WAIT_S_MAX) as producer:
            for future in [producer.send(event) for event in events(count)]:
                future.result(WAIT_S_MAX)
        for turn in range(ROUNDS):
            for one_by_one in (False, True):
                log = Timed(new_log(client, f"ingest-{turn}-{one_by_one}"), one_by_one)
                enough = count // 8 if one_by_one else count  # rates, not times, are compared
                rates[one_by_one].append(_consume(broker.bootstrap, log, enough, f"{turn}-{one_by_one}"))
    pipelined, single = median(rates[False]), median(rates[True])
    return {
        "Kafka to log, pipelined, events/s": pipelined,
        "Kafka to log, one by one, events/s": single,
        "pipelined over one by one (goal 3)": pipelined / single,
    }


def _consume(bootstrap: str, log: Timed, enough: int, group: str) -> float:
    letters = DeadLetters(bootstrap, f"{TOPIC}-dead-letters")
    consumer = FeedbackConsumer(bootstrap, TOPIC, group, log, spec_of(), letters)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        deadline = time.monotonic() + WAIT_S_MAX
        while consumer.stats().accepted < enough:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"expected {enough} events in the log, found {consumer.stats()}")
            time.sleep(0.02)
    finally:
        consumer.stop()
        thread.join()
        letters.close()
    assert log.head().version == consumer.stats().accepted  # each its own version
    return log.rate()
