"""Producing with proof: every message has a future that ends when Kafka has it, or has failed for good."""

import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from odl.errors import Misconfigured, Unavailable
from streaming.connection import Options, as_odl_error, client_options, quiet_logger

logger = logging.getLogger(__name__)

POLL_S = 0.1
LINGER_MS = 0  # sent at once; what arrives while requests are under way shares the next batch
MESSAGE_BYTES_MAX = 100 << 20  # Kafka decides by its topic's limit, not the client by a default of 1 MB
FLUSH_TIMEOUT_S = 5.0
PURGED_S = 0.5  # no server is asked for that
MARGIN_S = 2.0  # the client looks for messages that have timed out once a second


class TooLarge(Misconfigured):
    """Kafka refuses a message of this size; waiting does not help."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where Kafka keeps a message."""

    partition: int
    offset: int


class Delivery:
    """Produces to one topic, idempotent and with acks=all, from any number of threads.

    A message that Kafka did not take within `timeout_s` has failed and will not be sent any more; whether
    Kafka took it without our learning so is unknown, hence a sender repeats it under the same event id.
    """

    def __init__(
        self, bootstrap: str, topic: str, *, timeout_s: float, options: Options | None = None
    ) -> None:
        self.topic = topic
        self.timeout_s = timeout_s
        self._options = client_options(bootstrap, options) | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": LINGER_MS,
            "topic.metadata.refresh.fast.interval.ms": 50,  # the first event waits 0.05 s instead of 0.5
            "message.timeout.ms": int(timeout_s * 1000),
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "partitioner": "murmur2_random",  # the partition that Java clients choose for the same key
        }
        self._producer = self._connect()
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name=f"kafka-{topic}", daemon=True)
        self._poller.start()

    def _connect(self) -> Producer:
        try:
            return Producer(self._options, logger=quiet_logger())
        except KafkaException as error:
            raise Misconfigured(f"Kafka settings were refused: {error.args[0].str()}") from error

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as error:
                self._replace(error.args[0])

    def _replace(self, error: KafkaError) -> None:
        # A fatal error ends a client for ever (Kafka lost what it had acknowledged); a new one goes on.
        logger.error("topic '%s': the producer failed for good and is replaced: %s", self.topic, error.str())
        broken, self._producer = self._producer, self._connect()
        broken.purge()
        with contextlib.suppress(KafkaException):  # the same error again
            broken.flush(FLUSH_TIMEOUT_S)

    def send(
        self, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> Future[Delivered]:
        """Hand a message over. The future ends with where it stands, or raises `Unavailable`/`TooLarge`.

        Raises `Unavailable` at once when the queue of unsent messages is full.
        """
        future: Future[Delivered] = Future()
        future.set_running_or_notify_cancel()  # what was handed over cannot be taken back

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                future.set_result(Delivered(message.partition(), message.offset()))
            else:
                future.set_exception(self._failure(error))

        if self._closing.is_set() or not self._poller.is_alive():
            raise Unavailable(f"topic '{self.topic}': this producer was closed")
        try:
            self._producer.produce(
                self.topic, value=value, key=key, headers=list(headers) or None, on_delivery=report
            )
        except BufferError as error:
            raise Unavailable(f"topic '{self.topic}': too many messages wait for Kafka") from error
        except KafkaException as error:
            raise self._failure(error.args[0]) from error
        return future

    def wait(self, future: Future[Delivered]) -> Delivered:
        """Where the message of `send` stands. Raises `Unavailable` or `TooLarge` if nowhere."""
        try:
            return future.result(self.timeout_s + MARGIN_S)
        except TimeoutError as error:
            raise Unavailable(f"topic '{self.topic}': Kafka did not confirm a message in time") from error

    def _failure(self, error: KafkaError) -> Misconfigured | Unavailable:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return TooLarge(f"topic '{self.topic}' refuses a message of this size: {error.str()}")
        if error.code() == KafkaError._FATAL:
            return Unavailable(f"topic '{self.topic}': the producer failed for good and is being replaced")
        if error.code() == KafkaError._MSG_TIMED_OUT:
            return Unavailable(
                f"topic '{self.topic}' did not take a message within {self.timeout_s:g} s: Kafka is away, or "
                "has no such topic and makes none by itself"
            )
        return as_odl_error(f"topic '{self.topic}'", error)

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait so long for what is under way, fail the rest. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._poller.join(timeout_s)
        self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.flush(min(timeout_s, PURGED_S))  # tells those whose messages were purged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
