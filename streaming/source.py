"""Where a Kafka event came from, and where reading goes on.

Stored positions are keyed `kafka:<cluster id>:<topic id>:<partition>`. A topic that was deleted and created
again has another topic id, and so has one on another cluster, hence its events are new events.

A partition may also end *before* the stored position (records were lost by an unclean leader election). Its
offsets will be used again for other events, which must not look like duplicates: reading goes on under a new
key, `…:<partition>#1`, then `#2` and so on.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from odl.errors import Misconfigured, Unavailable
from odl.log import Append, Log
from streaming.connection import NO_TOPIC, REQUEST_TIMEOUT_S, as_odl_error

logger = logging.getLogger(__name__)

_NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"  # all zero: the broker is older than topic ids


@dataclass(frozen=True, slots=True)
class Topic:
    """Identity of one life of a topic."""

    cluster_id: str
    topic_id: str  # URL-safe base64, as Kafka's own tools print it

    def source(self, partition: int) -> str:
        """Key of a partition's positions.

        >>> Topic("lkc-1", "n_nxH-nbTGGaPmOGCwRMZw").source(0)
        'kafka:lkc-1:n_nxH-nbTGGaPmOGCwRMZw:0'
        """
        return f"kafka:{self.cluster_id}:{self.topic_id}:{partition}"


def identify(admin: AdminClient, name: str, timeout_s: float = REQUEST_TIMEOUT_S) -> Topic:
    """The identity of the topic that has this name now.

    Raises `Unavailable` while Kafka does not answer or the topic does not exist.
    """
    try:
        cluster_id = admin.list_topics(timeout=timeout_s).cluster_id
        answer = admin.describe_topics(TopicCollection([name]), request_timeout=timeout_s)
        topic_id = str(answer[name].result(timeout_s + 1.0).topic_id)
    except KafkaException as error:
        if error.args[0].code() in NO_TOPIC:
            raise Unavailable(f"there is no topic '{name}' yet") from error
        raise as_odl_error(f"topic '{name}'", error.args[0]) from error
    if topic_id == _NO_TOPIC_ID:
        raise Misconfigured(
            f"topic '{name}' has no topic id, so a re-created topic could not be told from this one: "
            "use Kafka 2.8 or newer"
        )
    return Topic(str(cluster_id), topic_id.replace("+", "-").replace("/", "_"))


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading a partition goes on."""

    source: str  # key of the positions
    stored: str | None  # stored position: what the next append shows as `prev`
    offset: int  # first offset to read
    missing: int = 0  # offsets that retention removed before they were read
    truncated: bool = False  # the partition ends before the stored position, so `source` is a new key


def find_start(positions: Mapping[str, str], source: str, low: int, high: int) -> Start:
    """Decide where to go on: after the stored position if that is possible, else loudly elsewhere.

    `positions` must have been read before `low` and `high` (first offset, last offset + 1): a twin consumer
    may store more in between.

    >>> find_start({}, "kafka:c:t:0", low=3, high=9)
    Start(source='kafka:c:t:0', stored=None, offset=3, missing=0, truncated=False)
    >>> find_start({"kafka:c:t:0": "8"}, "kafka:c:t:0", low=3, high=9).offset
    9
    >>> find_start({"kafka:c:t:0": "1"}, "kafka:c:t:0", low=5, high=9)
    Start(source='kafka:c:t:0', stored='1', offset=5, missing=3, truncated=False)
    >>> find_start({"kafka:c:t:0": "20"}, "kafka:c:t:0", low=0, high=9)
    Start(source='kafka:c:t:0#1', stored=None, offset=9, missing=0, truncated=True)
    """
    life = 0
    while f"{source}#{life + 1}" in positions:
        life += 1
    current = f"{source}#{life}" if life else source
    stored = positions.get(current)
    if stored is None:
        return Start(current, None, low)
    following = int(stored) + 1
    if following > high:
        return Start(f"{source}#{life + 1}", None, high, truncated=True)
    if following < low:
        return Start(current, stored, low, missing=low - following)
    return Start(current, stored, following)


class Positions:
    """Where to read each partition of one topic from, as the log and Kafka say now."""

    def __init__(self, admin: AdminClient, name: str, log: Log) -> None:
        self._admin = admin
        self._name = name
        self._log = log
        self._topic: Topic | None = None

    def identify(self) -> bool:
        """Ask Kafka who the topic is; whether it is another one than before. Raises `Unavailable`."""
        before, self._topic = self._topic, identify(self._admin, self._name)
        return before is not None and self._topic != before

    def find(self, consumer: Consumer, partition: int) -> Start:
        """Where to read on; loud if that is not the event after the stored position.

        Raises `Unavailable` while the log or Kafka is out of reach.
        """
        topic = identify(self._admin, self._name)
        positions = self._log.positions()  # before the watermarks: a twin may store more in between
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(self._name, partition), timeout=REQUEST_TIMEOUT_S, cached=False
            )
        except KafkaException as error:
            raise as_odl_error(f"topic '{self._name}' [{partition}]", error.args[0]) from error
        start = find_start(positions, topic.source(partition), low, high)
        if start.missing:
            logger.error(
                "%s: retention removed %d offsets before they were read; going on at %d",
                start.source,
                start.missing,
                start.offset,
            )
        return self._begin_again(start) if start.truncated else start

    def _begin_again(self, start: Start) -> Start:
        logger.error(
            "%s: Kafka lost records that the log has learned; those from %d on come under this key",
            start.source,
            start.offset,
        )
        if start.offset == 0:
            return start
        # Recorded at once, so that it is still known when the partition has grown past the old position.
        stored = str(start.offset - 1)
        self._log.append(Append(b"", "", start.source, prev=None, seq=stored))
        return replace(start, stored=stored)
