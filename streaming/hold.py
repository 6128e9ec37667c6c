"""Backpressure on Kafka: while what was read cannot be stored, nothing more is read, and Kafka is polled on.

A member that does not poll is taken for dead after `max.poll.interval.ms` and its partitions go to another,
which would meet the same full log: so its partitions are paused instead, for as long as the log says.
"""

import time
from collections.abc import Callable

from confluent_kafka import Consumer, Message, TopicPartition

from streaming.patience import Patience

POLL_S = 0.2  # bounds how long `stop` takes meanwhile


class Hold:
    """Waits of `patience` within `with hold:` poll the consumer, whose partitions are paused."""

    def __init__(self, patience: Patience, seek: Callable[[TopicPartition], None]) -> None:
        """`seek` goes back to a message that arrived all the same."""
        self.pauses = 0  # times that reading was paused
        self._patience = patience
        self._seek = seek
        self._consumer: Consumer | None = None
        self._is_paused = False
        self._is_polling = False
        self._strays: dict[tuple[str, int], int] = {}  # first offset of what arrived meanwhile
        self.errors: list[Message] = []  # what Kafka told meanwhile

    def of(self, consumer: Consumer) -> "Hold":
        """For this consumer."""
        self._consumer = consumer
        return self

    def __enter__(self) -> None:
        self._patience.wait = self._wait

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._patience.wait = None
        if not self._is_paused or self._consumer is None:
            return
        self._is_paused = False
        if kind is not None:
            return  # the consumer is about to be closed
        assigned = self._consumer.assignment()
        self._consumer.resume(assigned)
        here = {(each.topic, each.partition) for each in assigned}
        strays, self._strays = self._strays, {}
        for (topic, partition), offset in strays.items():
            if (topic, partition) in here:
                self._seek(TopicPartition(topic, partition, offset))

    def _wait(self, seconds: float) -> None:
        consumer = self._consumer
        assert consumer is not None
        if self._is_polling:  # a rebalance, which `poll` is in the middle of
            self._patience.sleep(seconds)
            return
        if not self._is_paused:
            self._is_paused = True
            self.pauses += 1
            consumer.pause(consumer.assignment())
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._patience.sleep(0)  # raises `Stopped`
            self._is_polling = True
            try:
                message = consumer.poll(min(left, POLL_S))
            finally:
                self._is_polling = False
            if message is not None:
                self._take(consumer, message)

    def _take(self, consumer: Consumer, message: Message) -> None:
        """What came although everything is paused: of a partition that was assigned meanwhile."""
        if message.error() is not None:
            self.errors.append(message)
            return
        place = message.topic(), message.partition()
        self._strays[place] = min(message.offset(), self._strays.get(place, message.offset()))
        consumer.pause([TopicPartition(*place)])
