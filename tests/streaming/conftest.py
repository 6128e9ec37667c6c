"""Two brokers, a log that can fail on command, and helpers to run consumers to an end."""

import copy
import ctypes
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

sys.path.insert(0, str(Path(__file__).parent))  # what tests of this folder share

from brokers import CANNOT, Apache, Broker, Embedded, missing

from odl.errors import Unavailable
from odl.event import Event, decode
from odl.log import Append, Appended, Entry, Log
from odl.memory import MemoryLog
from streaming.consumer import FeedbackConsumer
from streaming.dead_letters import DeadLetters, read_dead_letters
from streaming.embedded_broker import load_library
from streaming.message import encode_value

DEADLINE_S = 60.0  # generous: only a failing test waits this long


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(what): only brokers that can do it (tests/streaming/brokers.py)"
    )


def poll_until(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s until {what}"
        time.sleep(0.01)


class Open:
    """A schema that accepts everything but the label 'unknown'."""

    def check_features(self, x: dict[str, object]) -> None:
        pass

    def check_label(self, y: object) -> None:
        if y == "unknown":
            raise ValueError("expected one of the labels a, b; received 'unknown'")


class ScriptedLog:
    """A log whose `append_many` first takes the next fault of `script`, if any; `lost_reply` and so on are
    faults to put there."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.script: list[Callable[[list[Append]], list[Appended]]] = []
        log.create()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    def append_many(self, items: list[Append]) -> list[Appended]:
        if self.script:
            return self.script.pop(0)(items)
        return self.log.append_many(items)

    def lost_reply(self, items: list[Append]) -> list[Appended]:
        """Everything is stored, the answer is not heard."""
        self.log.append_many(items)
        raise Unavailable("the reply was lost")

    def half(self, items: list[Append]) -> list[Appended]:
        """The connection breaks in the middle."""
        self.log.append_many(items[: len(items) // 2])
        raise Unavailable("the connection broke")

    def away(self, items: list[Append]) -> list[Appended]:
        """Nothing is stored."""
        raise Unavailable("connection refused")

    def crash(self, items: list[Append]) -> list[Appended]:
        """Half is stored, then the process meets a bug."""
        self.log.append_many(items[: len(items) // 2])
        raise RuntimeError("a bug")

    def remember(self) -> object:
        """What a log in memory holds now, for `rewind`."""
        with self.log._mutex:
            return copy.deepcopy(self.log._state)

    def rewind(self, state: object) -> None:
        """Lose everything since `remember`; None: lose the log itself."""
        with self.log._mutex:
            self.log._state = copy.deepcopy(state)

    def events(self) -> list[Event]:
        """What the log holds, and that its versions have no hole."""
        entries: list[Entry] = []
        while found := self.read(len(entries), 1000).entries[1 if entries else 0 :]:
            entries += found
        assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
        return [decode(entry.payload) for entry in entries]

    def ids(self) -> list[str]:
        return [event.id for event in self.events()]


class Stream:
    """A topic with its dead-letter topic, a log, and the consumers that a test starts."""

    def __init__(self, broker: Broker, partitions: int, log: Log, stack: ExitStack) -> None:
        self.broker = broker
        self.topic = f"feedback-{uuid.uuid4().hex[:8]}"
        self.dead_topic = f"{self.topic}-dead"
        self.group = f"{self.topic}-group"
        self.partitions = partitions
        broker.create_topic(self.topic, partitions)
        broker.create_topic(self.dead_topic, 1)
        self.log = ScriptedLog(log)
        self.dead_letters = DeadLetters(broker.bootstrap, self.dead_topic, timeout_s=DEADLINE_S)
        self._stack = stack
        stack.callback(self.dead_letters.close)
        self._connect()

    def _connect(self) -> None:
        settings = {"bootstrap.servers": self.broker.bootstrap, "log_level": 0}
        self._producer = Producer(
            {**settings, "linger.ms": 1, "message.max.bytes": 100_000_000, "reconnect.backoff.max.ms": 1_000}
        )

    def delete_topic(self) -> None:
        self.broker.delete_topic(self.topic)

    def create_topic_again(self) -> None:
        """Under the same name, empty; with another producer, since the old one knows the old topic."""
        self.broker.create_topic(self.topic, self.partitions)
        self._connect()

    def produce_raw(self, value: bytes | None, partition: int = 0, **fields: Any) -> None:
        self._producer.produce(self.topic, value=value, partition=partition, **fields)
        self._producer.poll(0)

    def produce_with_header(self, header: bytes, value: bytes) -> None:
        """Produce with a header name of any bytes, which Python's client cannot."""
        library = load_library()
        library.rd_kafka_flush.argtypes = [ctypes.c_void_p, ctypes.c_int]
        error = ctypes.create_string_buffer(512)
        settings = library.rd_kafka_conf_new()
        bootstrap = self.broker.bootstrap.encode()
        library.rd_kafka_conf_set(settings, b"bootstrap.servers", bootstrap, error, len(error))
        client = library.rd_kafka_new(0, settings, error, len(error))
        arguments = [1, ctypes.c_char_p(self.topic.encode())]  # topic
        arguments += [7, ctypes.c_int(2)]  # copy the value
        arguments += [4, ctypes.c_char_p(value), ctypes.c_size_t(len(value))]  # value
        arguments += [9, ctypes.c_char_p(header), ctypes.c_char_p(b"v"), ctypes.c_ssize_t(1)]  # header
        assert library.rd_kafka_producev(ctypes.c_void_p(client), *arguments, 0) == 0
        assert library.rd_kafka_flush(client, int(DEADLINE_S * 1000)) == 0
        library.rd_kafka_destroy(client)

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
        # The embedded broker waits a second less than this whenever a member leaves.
        options = {"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}
        return FeedbackConsumer(
            self.broker.bootstrap,
            self.topic,
            self.group,
            settings.pop("log", self.log),
            Open(),
            settings.pop("dead_letters"),
            options=options | settings.pop("options", {}),
            **settings,
        )

    def start(self, **settings: Any) -> "Running":
        self.flush()
        running = Running(self.consumer(**settings))
        self._stack.callback(running.stop)
        return running

    def dead(self) -> list[Any]:
        return list(read_dead_letters(self.broker.bootstrap, self.dead_topic))

    def wait_for_version(self, version: int) -> None:
        poll_until(lambda: self.log.head().version >= version, f"the log reaches version {version}")

    def wait_for_position(self, *positions: int | None) -> None:
        """Until the newest source of each partition stands at the given position."""
        expected = {str(position) for position in positions if position is not None}
        poll_until(lambda: expected <= set(self.log.positions().values()), f"positions {expected}")


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
def wait_until() -> Callable[[Callable[[], object], str], None]:
    return poll_until


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """One Apache Kafka for all tests."""
    if missing():
        pytest.skip(missing())
    with closing(Apache(tmp_path_factory.mktemp("kafka"))) as apache:
        yield apache


# Marked as one group, so that one process of several starts Apache Kafka.
@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.xdist_group("apache kafka"))])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Every test that takes it runs on both brokers, but for what one of them cannot do."""
    for needed in request.node.iter_markers("needs"):
        if reason := CANNOT[needed.args[0]].get(request.param):
            pytest.skip(f"{needed.args[0]}: {reason}")
    if request.param == "embedded":
        with Embedded() as embedded:
            yield embedded
        return
    apache: Apache = request.getfixturevalue("apache")
    yield apache
    apache.clear()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_stream(broker: Broker, stack: ExitStack) -> Callable[..., Stream]:
    """A topic of so many partitions with a log, in memory unless given."""
    return lambda partitions=1, log=None: Stream(broker, partitions, log or MemoryLog(), stack)


@pytest.fixture
def stream(new_stream: Callable[..., Stream]) -> Stream:
    """One partition: the order in the log is the order of the topic."""
    return new_stream(1)
