"""A broker that can fail on command, a log that can, and helpers to run consumers to an end."""

import copy
import ctypes
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka import Producer

from odl.errors import Unavailable
from odl.event import Event, decode
from odl.log import Append, Appended
from odl.memory import MemoryLog
from streaming.consumer import FeedbackConsumer
from streaming.dead_letters import DeadLetters, read_dead_letters
from streaming.embedded_broker import EmbeddedBroker
from streaming.message import encode_value

DEADLINE_S = 60.0  # generous: only a failing test waits this long


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s until {what}"
        time.sleep(0.01)


class FaultyBroker(EmbeddedBroker):
    """The embedded broker with the faults that librdkafka can inject."""

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(ctypes.c_void_p(self._cluster), *arguments)
        assert code in (0, None), f"{name}: error {code}"

    def delete_topic(self, topic: str) -> None:
        self.call("rd_kafka_mock_topic_delete", topic.encode())

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        name = "rd_kafka_mock_partition_delete_records"
        self.call(name, topic.encode(), ctypes.c_int32(partition), ctypes.c_int64(before))

    def set_down(self) -> None:
        self.call("rd_kafka_mock_broker_set_down", ctypes.c_int32(1))

    def set_up(self) -> None:
        self.call("rd_kafka_mock_broker_set_up", ctypes.c_int32(1))


class Open:
    """A schema that accepts everything but the label 'unknown'."""

    def check_features(self, x: dict[str, object]) -> None:
        pass

    def check_label(self, y: object) -> None:
        if y == "unknown":
            raise ValueError("expected one of the labels a, b; received 'unknown'")


class ScriptedLog(MemoryLog):
    """A log in memory; each call of `append_many` first takes the next fault of `script`, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Callable[[list[Append]], list[Appended]]] = []
        self.create()

    def append_many(self, items: list[Append]) -> list[Appended]:
        if self.script:
            return self.script.pop(0)(items)
        return super().append_many(items)

    def lost_reply(self, items: list[Append]) -> list[Appended]:
        """Everything is stored, the answer is not heard."""
        super().append_many(items)
        raise Unavailable("the reply was lost")

    def half(self, items: list[Append]) -> list[Appended]:
        """The connection breaks in the middle."""
        super().append_many(items[: len(items) // 2])
        raise Unavailable("the connection broke")

    def away(self, items: list[Append]) -> list[Appended]:
        """Nothing is stored."""
        raise Unavailable("connection refused")

    def crash(self, items: list[Append]) -> list[Appended]:
        """Half is stored, then the process meets a bug."""
        super().append_many(items[: len(items) // 2])
        raise RuntimeError("a bug")

    def remember(self) -> object:
        """What the log holds now, for `rewind`."""
        with self._mutex:
            return copy.deepcopy(self._state)

    def rewind(self, state: object) -> None:
        """Lose everything since `remember`; None: lose the log itself."""
        with self._mutex:
            self._state = copy.deepcopy(state)

    def events(self) -> list[Event]:
        return [decode(entry.payload) for entry in self.read(0, 1_000_000).entries]

    def ids(self) -> list[str]:
        return [event.id for event in self.events()]


class Stream:
    """A topic with its dead-letter topic, a log, and the consumers that a test starts."""

    def __init__(self, broker: FaultyBroker, partitions: int, stack: ExitStack) -> None:
        self.broker = broker
        self.topic = f"feedback-{uuid.uuid4().hex[:8]}"
        self.dead_topic = f"{self.topic}-dead"
        self.partitions = partitions
        broker.create_topic(self.topic, partitions)
        broker.create_topic(self.dead_topic, 1)
        self.log = ScriptedLog()
        self.dead_letters = DeadLetters(broker.bootstrap, self.dead_topic, timeout_s=5.0)
        self._stack = stack
        stack.callback(self.dead_letters.close)
        self._producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 1})

    def produce_raw(self, value: bytes | None, partition: int = 0, **fields: Any) -> None:
        self._producer.produce(self.topic, value=value, partition=partition, **fields)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(DEADLINE_S) == 0

    def produce(self, first: int, last: int) -> list[str]:
        """Events `first` to `last - 1`, round robin over the partitions; their ids."""
        ids = [f"e-{number}" for number in range(first, last)]
        for number, event_id in zip(range(first, last), ids, strict=True):
            value = encode_value(Event(id=event_id, x={"number": number}, y="a"))
            self.produce_raw(value, number % self.partitions)
        self.flush()
        return ids

    def consumer(self, **settings: Any) -> FeedbackConsumer:
        """A consumer that is not running yet."""
        settings.setdefault("dead_letters", self.dead_letters)
        return FeedbackConsumer(
            self.broker.bootstrap,
            self.topic,
            "group",
            settings.pop("log", self.log),
            Open(),
            settings.pop("dead_letters"),
            **settings,
        )

    def start(self, **settings: Any) -> "Running":
        running = Running(self.consumer(**settings))
        self._stack.callback(running.stop)
        return running

    def dead(self) -> list[Any]:
        return list(read_dead_letters(self.broker.bootstrap, self.dead_topic))

    def wait_for_version(self, version: int) -> None:
        wait_until(lambda: self.log.head().version >= version, f"the log reaches version {version}")

    def wait_for_position(self, *positions: int | None) -> None:
        """Until the newest source of each partition stands at the given position."""
        expected = {str(position) for position in positions if position is not None}
        wait_until(lambda: expected <= set(self.log.positions().values()), f"positions {expected}")


class Running:
    """A consumer in a thread."""

    def __init__(self, consumer: FeedbackConsumer) -> None:
        self.consumer = consumer
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.consumer.run()
        except BaseException as error:  # noqa: BLE001 - kept for the test to look at
            self.error = error

    def stop(self) -> None:
        self.consumer.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the consumer did not end"


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker() as broker:
        yield broker


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_stream(broker: FaultyBroker, stack: ExitStack) -> Callable[..., Stream]:
    return lambda partitions=1: Stream(broker, partitions, stack)


@pytest.fixture
def stream(new_stream: Callable[..., Stream]) -> Stream:
    """One partition: the order in the log is the order of the topic."""
    return new_stream(1)
