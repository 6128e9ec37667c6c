"""The messages of a topic from an offset to its present end, for a backfill.

Sources are those of the consumer, `kafka:<cluster>:<topic id>:<partition>`, so what the one has taken the
other does not take again.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from odl.errors import InvalidEvent, Misconfigured, Unavailable
from streaming.backfill import Content, Row
from streaming.connection import (
    REQUEST_TIMEOUT_S,
    Options,
    admin_client,
    as_odl_error,
    client_options,
    quiet_logger,
)
from streaming.formats import Values
from streaming.join import read_label
from streaming.message import decode_value, read_headers
from streaming.row_events import Columns
from streaming.source import Topic, identify

logger = logging.getLogger(__name__)

EARLIEST = -1


def parse_topic(text: str) -> tuple[str, int]:
    """Topic and first offset of `kafka:topic@offset`; without an offset, the earliest.

    >>> parse_topic("kafka:feedback@120"), parse_topic("kafka:feedback")
    (('feedback', 120), ('feedback', -1))
    """
    topic, at, offset = text.removeprefix("kafka:").partition("@")
    if not topic or (at and offset != "earliest" and not offset.isdigit()):
        raise Misconfigured(
            f"expected kafka:topic, kafka:topic@earliest or kafka:topic@120, received {text!r}"
        )
    return topic, int(offset) if offset.isdigit() else EARLIEST


class TopicRows:
    """The messages of a topic, up to where it ends when this is made."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        first: int,
        values: Values,
        columns: Columns | None,
        *,
        number_labels: bool,
        options: Options | None = None,
    ) -> None:
        """`first`: offset to begin at in every partition; `columns`: what flat objects mean, None for events
        as on the feedback topic. Raises `Unavailable`, or `Misconfigured` for an offset that is gone."""
        self._settings = {
            **client_options(bootstrap, options),
            "group.id": "odl-backfill",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,  # the last offsets may be holes: compaction, transactions
        }
        self._topic = topic
        self._first = first
        self._values = values
        self._columns = columns
        self._number_labels = number_labels
        self._identity: Topic = identify(admin_client(bootstrap, options), topic)
        with closing(Consumer(self._settings, logger=quiet_logger())) as consumer:
            self._bounds = _bounds(consumer, topic)
        for partition, (low, _) in self._bounds.items():
            if EARLIEST < first < low:
                raise Misconfigured(
                    f"topic '{topic}' [{partition}] begins at offset {low}, what came before was removed: "
                    f"pass kafka:{topic}@{low} or later"
                )
        self.total = sum(high - max(low, first) for low, high in self._bounds.values() if high > first)

    def after(self, positions: Mapping[str, str]) -> Iterator[Row]:
        """The messages after the stored positions."""
        starts = {}
        for partition, (low, high) in self._bounds.items():
            stored = positions.get(self._identity.source(partition))
            start = max(low, self._first) if stored is None else int(stored) + 1
            if stored is not None and start < low:
                logger.warning(
                    "[%d]: retention removed %d offsets; going on at %d", partition, low - start, low
                )
                start = low
            if start < high:
                starts[partition] = start
        with closing(Consumer(self._settings, logger=quiet_logger())) as consumer:
            yield from self._read(consumer, starts)

    def _read(self, consumer: Consumer, starts: dict[int, int]) -> Iterator[Row]:
        left = set(starts)
        consumer.assign([TopicPartition(self._topic, each, start) for each, start in starts.items()])
        while left:
            message = consumer.poll(REQUEST_TIMEOUT_S)
            if message is None:
                raise Unavailable(f"topic '{self._topic}' did not answer within {REQUEST_TIMEOUT_S:g} s")
            partition, error = message.partition(), message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise as_odl_error(f"topic '{self._topic}'", error)
                left.discard(partition)
                continue
            high = self._bounds[partition][1]
            if message.offset() < high:
                yield self._row(message)
            if message.offset() + 1 >= high:
                left.discard(partition)

    def _row(self, message: Message) -> Row:
        source, seq = self._identity.source(message.partition()), str(message.offset())
        where = f"partition {message.partition()}, offset {seq}"
        return Row(source, seq, self._content(message, source, seq), where)

    def _content(self, message: Message, source: str, seq: str) -> Content:
        value = message.value()
        if value is None:
            return None
        try:
            text = self._values.to_json(value, self._topic)
            if self._columns is not None:
                return self._columns.content(
                    _object(text), default_id=f"{source}:{seq}", number_labels=self._number_labels
                )
            return read_label(text) or decode_value(
                text, source=source, seq=seq, headers=read_headers(message)
            )
        except InvalidEvent as error:
            return error


def _bounds(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """First offset and last offset + 1 of each partition."""
    try:
        partitions = consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic].partitions
        return {
            each: consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=REQUEST_TIMEOUT_S)
            for each in sorted(partitions)
        }
    except KafkaException as error:
        raise as_odl_error(f"topic '{topic}'", error.args[0]) from error


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"expected a JSON object: {error}", reason="MALFORMED") from error
    if not isinstance(found, dict):
        raise InvalidEvent(f"expected a JSON object, found {type(found).__name__}", reason="MALFORMED")
    return found
