"""Feedback into Kafka: from senders in Python, and by REST, acknowledged once Kafka has it."""

from concurrent.futures import Future
from typing import Any, Self

from odl.event import Event
from odl.feedback import Receipt
from odl.log import Outcome
from streaming.connection import REQUEST_TIMEOUT_S, Options
from streaming.delivery import FLUSH_TIMEOUT_S, Delivered, Delivery
from streaming.join import LateLabel, encode_label
from streaming.message import SOURCE_HEADER, encode_value

DURABILITY = "durable"  # all in-sync replicas of Kafka have it


class FeedbackProducer:
    """Sends events to a feedback topic; any number of threads may share one.

    The event's id is the Kafka key, so that events of one id keep their order.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        options: Options | None = None,
    ) -> None:
        self._delivery = Delivery(bootstrap, topic, timeout_s=timeout_s, options=options)

    def send(self, event: Event | LateLabel) -> Future[Delivered]:
        """Send one event, or a label for what was predicted under its id. The future ends with where Kafka
        keeps it, or raises `Unavailable` (not delivered within `timeout_s`: send it again under the same
        id)."""
        if isinstance(event, LateLabel):
            return self._delivery.send(event.id.encode(), encode_label(event))
        headers = [(SOURCE_HEADER, event.source.encode())] if event.source.startswith("rest:") else []
        return self._delivery.send(event.id.encode(), encode_value(event), headers)

    def deliver(self, event: Event | LateLabel) -> Delivered:
        """Send one event or label and wait for Kafka's confirmation. Raises `Unavailable` without it."""
        return self._delivery.wait(self.send(event))

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait so long for what is under way and let go. May be called twice."""
        self._delivery.close(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class KafkaSink:
    """An `odl.feedback.Sink`: feedback is acknowledged after all in-sync replicas of Kafka have it.

    Its version is known only once a consumer has appended it.
    """

    def __init__(self, producer: FeedbackProducer) -> None:
        self._producer = producer

    def submit(self, event: Event) -> Receipt:
        """Store one event in Kafka. Raises `Unavailable` unless Kafka confirmed it; safe to repeat."""
        self._producer.deliver(event)
        return Receipt(Outcome.ACCEPTED, None, DURABILITY)
