"""Dead letters: messages that cannot be learned, kept in a topic of their own with the reason.

Key and value are the original bytes, the original headers are kept, and these are added:

| header | content |
|---|---|
| `dead-letter-reason` | machine-readable, `MALFORMED`, `NO_ID` … |
| `dead-letter-detail` | the sentence for the sender |
| `dead-letter-source` | `kafka:<cluster>:<topic id>:<partition>` |
| `dead-letter-offset` | offset there |
| `dead-letter-cut` | original size in bytes, present if Kafka refused the whole value and its head was kept |

A consumer that dies between writing a dead letter and passing the position writes it again after its restart;
`read_dead_letters` shows each source position once.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from odl.errors import InvalidEvent, Unavailable
from streaming.connection import (
    NO_TOPIC,
    REQUEST_TIMEOUT_S,
    Options,
    as_odl_error,
    client_options,
    quiet_logger,
)
from streaming.delivery import Delivered, Delivery, TooLarge
from streaming.message import read_headers

PREFIX = "dead-letter-"
DETAIL_BYTES_MAX = 1_000
CUT_BYTES = 64 * 1024  # of a value that is too large for the dead-letter topic


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that cannot be learned."""

    key: bytes | None  # original bytes
    value: bytes  # original bytes, or their head if `cut` says so
    reason: str  # machine-readable, SCREAMING_SNAKE
    detail: str  # one sentence for the sender
    source: str  # `kafka:<cluster>:<topic id>:<partition>`
    offset: int  # position there
    headers: tuple[tuple[str, bytes | None], ...] = ()  # original ones
    cut: int | None = None  # original size in bytes, if the value is only a head
    # Where it stands in the dead-letter topic, once it was read there:
    partition: int = field(default=-1, compare=False)
    at: int = field(default=-1, compare=False)  # offset
    time_ms: int = field(default=0, compare=False)  # when it was written


def letter_of(
    message: Message, source: str, error: InvalidEvent, original: bytes | None = None
) -> DeadLetter:
    """The dead letter of a message that was refused with `error`; `source` is the key of its position and
    `original` its value before that was replaced (streaming.translation)."""
    value, headers = original or message.value(), tuple(read_headers(message))
    assert value is not None  # a tombstone is no event, so nothing can be wrong with it
    return DeadLetter(message.key(), value, error.reason, str(error), source, message.offset(), headers)


class DeadLetters:
    """Writes dead letters, confirmed by Kafka."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        options: Options | None = None,
    ) -> None:
        self.topic = topic
        self._delivery = Delivery(bootstrap, topic, timeout_s=timeout_s, options=options)

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Return once Kafka has all of them. Raises `Unavailable` otherwise: some may have been written."""
        futures = [self._send(letter) for letter in letters]
        for letter, future in zip(letters, futures, strict=True):
            try:
                self._delivery.wait(future)
            except TooLarge:
                head = replace(letter, value=letter.value[:CUT_BYTES], cut=len(letter.value))
                self._delivery.wait(self._send(head))

    def _send(self, letter: DeadLetter) -> Future[Delivered]:
        return self._delivery.send(letter.key, letter.value, _headers(letter))

    def close(self) -> None:
        """Wait for what is under way and let go."""
        self._delivery.close()


def _headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    added = [
        (PREFIX + "reason", letter.reason.encode()),
        (PREFIX + "detail", letter.detail.encode()[:DETAIL_BYTES_MAX]),
        (PREFIX + "source", letter.source.encode()),
        (PREFIX + "offset", str(letter.offset).encode()),
    ]
    if letter.cut is not None:
        added.append((PREFIX + "cut", str(letter.cut).encode()))
    return [*letter.headers, *added]


def _from_message(message: Message) -> DeadLetter | None:
    headers = read_headers(message)
    added = {name.removeprefix(PREFIX): value or b"" for name, value in headers if name.startswith(PREFIX)}
    if "source" not in added or not added.get("offset", b"").isdigit():
        return None  # written by somebody else
    return DeadLetter(
        key=message.key(),
        value=message.value() or b"",
        reason=added.get("reason", b"").decode("utf-8", "replace"),
        detail=added.get("detail", b"").decode("utf-8", "replace"),
        source=added["source"].decode("utf-8", "replace"),
        offset=int(added["offset"]),
        headers=tuple((name, value) for name, value in headers if not name.startswith(PREFIX)),
        cut=int(added["cut"]) if added.get("cut", b"").isdigit() else None,
        partition=message.partition(),
        at=message.offset(),
        time_ms=max(0, message.timestamp()[1]),
    )


def read_dead_letters(
    bootstrap: str, topic: str, options: Options | None = None, *, newest: int | None = None
) -> Iterator[DeadLetter]:
    """Every dead letter that the topic holds now, each source position once, in the topic's order; of each
    partition no more than the `newest` ones, if that is given.

    None if the topic does not exist: the first letter makes it. Raises `Unavailable` while Kafka does not
    answer.
    """
    consumer = Consumer(
        client_options(bootstrap, options)
        | {
            "group.id": "odl-dead-letters",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,  # the last offsets may be holes: compaction, transactions
        },
        logger=quiet_logger(),
    )
    try:
        yield from _read(consumer, topic, newest)
    except KafkaException as error:
        raise as_odl_error(f"dead-letter topic '{topic}'", error.args[0]) from error
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, newest: int | None) -> Iterator[DeadLetter]:
    description = consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
    if description.error is not None and description.error.code() in NO_TOPIC:
        return  # the first letter makes it
    if description.error is not None:
        raise as_odl_error(f"dead-letter topic '{topic}'", description.error)
    seen: set[tuple[str, int]] = set()
    for partition in sorted(description.partitions):
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=REQUEST_TIMEOUT_S
        )
        if newest is not None:
            low = max(low, high - newest)
        consumer.assign([TopicPartition(topic, partition, low)])
        while low < high:
            message = consumer.poll(REQUEST_TIMEOUT_S)
            if message is None:
                raise Unavailable(
                    f"dead-letter topic '{topic}' did not answer within {REQUEST_TIMEOUT_S:g} s"
                )
            if message.error() is not None:
                if message.error().code() == KafkaError._PARTITION_EOF:
                    break
                raise as_odl_error(f"dead-letter topic '{topic}'", message.error())
            low = message.offset() + 1
            letter = _from_message(message)
            if letter is not None and (letter.source, letter.offset) not in seen:
                seen.add((letter.source, letter.offset))
                yield letter
