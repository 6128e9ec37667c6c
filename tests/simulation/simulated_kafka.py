"""A topic that loses nothing it has acknowledged, and a client of it as the consumer knows it."""

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

if TYPE_CHECKING:
    from world import World

TOPIC = "feedback"
PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Record:
    """A message of the topic, or an error that the client reports; as confluent_kafka shows them."""

    at: int  # partition
    number: int  # offset
    content: bytes | None
    failure: KafkaError | None = None

    def partition(self) -> int:
        return self.at

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes | None:
        return self.content

    def key(self) -> bytes | None:
        return None

    def headers(self) -> None:
        return None

    def error(self) -> KafkaError | None:
        return self.failure


class SimulatedKafka:
    """The topic."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.lives = 0
        self.begin()

    def begin(self) -> None:
        """Create the topic (again): another id, offsets from 0."""
        self.lives += 1
        self.topic_id = f"topic-{self.lives}"
        self.partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.ends = [0] * PARTITIONS

    def produce(self, partition: int, value: bytes | None) -> None:
        """Store a message; sometimes after a hole, as compaction and transactions leave them."""
        if self._world.dice.random() < 0.1:
            self.ends[partition] += self._world.dice.randint(1, 3)
            self._world.landed("hole in offsets", f"partition {partition}")
        self.partitions[partition].append(Record(partition, self.ends[partition], value))
        self.ends[partition] += 1

    def values(self) -> list[bytes | None]:
        """Everything that the topic holds."""
        return [record.content for records in self.partitions for record in records]


class SimulatedClient:
    """What `FeedbackConsumer` and `Positions` use of confluent_kafka's `Consumer` and `AdminClient`."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._kafka = world.kafka
        self.next: dict[int, int] = {}  # assigned partition -> offset to read next

    @property
    def ends(self) -> list[int]:
        """Where each partition ends."""
        return self._kafka.ends

    def _reach(self) -> None:
        self._world.go_on()
        if self._world.faulty and self._world.dice.random() < 0.03:
            self._world.landed("kafka away")
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "away"))

    def list_topics(self, timeout: float) -> Any:
        self._reach()
        return SimpleNamespace(cluster_id="cluster")

    def describe_topics(self, topics: object, request_timeout: float) -> dict[str, "Future[Any]"]:
        future: Future[Any] = Future()
        future.set_result(SimpleNamespace(topic_id=self._kafka.topic_id))
        return {TOPIC: future}

    def get_watermark_offsets(self, target: TopicPartition, timeout: float, cached: bool) -> tuple[int, int]:
        self._reach()
        return 0, self._kafka.ends[target.partition]

    def incremental_assign(self, starts: Sequence[TopicPartition]) -> None:
        for start in starts:
            self.next[start.partition] = start.offset

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for revoked in partitions:
            self.next.pop(revoked.partition, None)

    def seek(self, target: TopicPartition) -> None:
        if self._world.faulty and self._world.dice.random() < 0.03:
            raise KafkaException(KafkaError(KafkaError._STATE, "not ready"))
        self.next[target.partition] = target.offset

    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        """Nothing reads them."""

    def consume(self, count: int, timeout: float) -> list[Record]:
        """Some of what is there, of any assigned partition, each in order."""
        found: list[Record] = []
        for _ in range(min(count, self._world.dice.randint(0, 6))):
            record = self.poll(0)
            if record is None:
                break
            found.append(record)
        return found

    def poll(self, timeout: float) -> Record | None:
        """The next message of an assigned partition, None if there is none."""
        assigned = list(self.next)
        self._world.dice.shuffle(assigned)
        for partition in assigned:
            at = self.next[partition]
            if at > self._kafka.ends[partition]:
                # The real client stops fetching such a partition until it is told where to go.
                del self.next[partition]
                self._world.landed("out of range", f"partition {partition}, offset {at}")
                return Record(
                    partition, at, None, KafkaError(KafkaError._AUTO_OFFSET_RESET, "no such offset")
                )
            records = self._kafka.partitions[partition]
            index = bisect_left(records, at, key=lambda record: record.number)
            if index < len(records):
                self.next[partition] = records[index].number + 1
                return records[index]
        return None
