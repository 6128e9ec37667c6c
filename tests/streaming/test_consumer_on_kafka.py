"""The consumer on a real Apache Kafka and a real Redis server: exactly once, whatever the topic goes through.

The broker is one JVM for all of these tests, so they run in one process. Without Java or the jars (`make
kafka-install`) they are skipped.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))

from apache_kafka import ApacheKafka, missing

from odl.event import Event
from odl.redis_log import RedisLog
from streaming.backfill import Backfill
from streaming.dead_letters import read_dead_letters
from streaming.formats import JsonValues
from streaming.join import Join
from streaming.message import encode_value
from streaming.retry import Retry
from streaming.source import identify
from streaming.topic_rows import TopicRows

pytestmark = pytest.mark.xdist_group("apache kafka")

DEADLINE_S = 60.0


class Open:
    """A schema that accepts everything."""

    def check_features(self, x: dict[str, object]) -> None:
        pass

    def check_label(self, y: object) -> None:
        pass


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """In place of the embedded broker."""
    if missing():
        pytest.skip(missing())
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def new_stream(new_stream: Callable[..., Any], redis_client: Any, model_name: str) -> Callable[..., Any]:
    """A topic of so many partitions, with a log on a real server."""
    return lambda partitions=1: new_stream(partitions, RedisLog(redis_client, model_name))


def raw_offsets(broker: ApacheKafka, topic: str, **settings: Any) -> list[int]:
    """The offsets of the messages that a plain consumer gets to see in partition 0."""
    own = {"bootstrap.servers": broker.bootstrap, "group.id": "raw", "enable.partition.eof": True}
    consumer = Consumer({**own, "auto.offset.reset": "earliest", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    offsets = []
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is not None and message.error():  # the end of the partition
            break
        if message is not None:
            offsets.append(message.offset())
    consumer.close()
    return offsets


def event(event_id: str, number: int = 0) -> bytes:
    return encode_value(Event(id=event_id, x={"number": number}, y="a"))


def test_a_restarted_consumer_loses_and_doubles_nothing(new_stream: Callable[..., Any]) -> None:
    stream = new_stream(3)
    chance = random.Random(11)
    ids: list[str] = []
    for first in range(0, 1500, 300):
        ids += stream.produce(first, first + 300)
        running = stream.start(batch_max=chance.randint(5, 60))
        stream.wait_for_version(first + chance.randint(1, 250))
        running.stop()
        assert running.error is None
    stream.start()
    stream.wait_for_version(1500)
    assert sorted(stream.log.ids()) == sorted(ids)
    for partition in range(3):
        numbers = [each.x["number"] for each in stream.log.events() if each.x["number"] % 3 == partition]
        assert numbers == sorted(numbers), "out of order within a partition"


def test_crashes_and_lost_replies_lose_and_double_nothing(stream: Any) -> None:
    ids = stream.produce(0, 900)
    chance = random.Random(12)
    for _ in range(3):
        faults = [stream.log.lost_reply, stream.log.half, stream.log.away]
        stream.log.script = [*chance.sample(faults, 3), stream.log.crash]
        crashed = stream.start(batch_max=chance.randint(10, 60))
        crashed.join()
        assert str(crashed.error) == "a bug"
    stream.start()
    stream.wait_for_version(900)
    assert stream.log.ids() == ids


def test_two_consumers_share_and_hand_over_partitions(new_stream: Callable[..., Any]) -> None:
    stream = new_stream(4)
    ids = stream.produce(0, 400)
    one = stream.start()
    stream.wait_for_version(100)
    two = stream.start()
    ids += stream.produce(400, 800)
    stream.wait_for_version(800)
    one.stop()
    ids += stream.produce(800, 1200)
    stream.wait_for_version(1200)
    assert sorted(stream.log.ids()) == sorted(ids)
    assert [running.error for running in (one, two)] == [None, None]


def test_a_topic_that_was_created_again_is_read_from_its_beginning(
    stream: Any, wait_until: Callable[..., None]
) -> None:
    first = stream.produce(0, 50)
    running = stream.start(identity_check_s=0.2)
    stream.wait_for_version(50)
    stream.broker.delete_topic(stream.topic)
    stream.broker.create_topic(stream.topic, 1)
    # Another producer: the old one still knows the topic by its old identity.
    producer = Producer({"bootstrap.servers": stream.broker.bootstrap})
    again = [f"new-{number}" for number in range(70)]
    for event_id in again:
        producer.produce(stream.topic, event(event_id), partition=0)
    assert producer.flush(DEADLINE_S) == 0
    wait_until(lambda: stream.log.head().version >= 120, "the new events")
    assert stream.log.ids() == first + again
    assert len(stream.log.positions()) == 2, "one key of positions for each life of the topic"
    assert running.error is None


def test_offsets_that_retention_removed_are_counted_and_passed(stream: Any) -> None:
    stream.produce(0, 10)
    first = stream.start()
    stream.wait_for_version(10)
    first.stop()
    stream.produce(10, 40)
    stream.broker.delete_records(stream.topic, 0, 25)
    running = stream.start()
    stream.wait_for_version(25)
    assert stream.log.ids() == [f"e-{number}" for number in [*range(10), *range(25, 40)]]
    assert running.consumer.stats().missing == 15


def test_a_compacted_topic_with_holes_is_read_to_its_end(
    new_stream: Callable[..., Any], broker: ApacheKafka, wait_until: Callable[..., None]
) -> None:
    stream = new_stream(1)
    stream.topic += "-compacted"
    settings = {"segment_ms": "200", "min_cleanable_dirty_ratio": "0.01", "delete_retention_ms": "100"}
    broker.create_topic(stream.topic, 1, cleanup_policy="compact", **settings)
    for number in range(60):  # 10 keys; of each, compaction keeps the newest
        stream.produce_raw(event(f"old-{number}", number), key=b"key-%d" % (number % 10))
    stream.produce_raw(None, key=b"key-3")
    stream.flush()

    def is_compacted() -> bool:
        time.sleep(0.3)  # the next message is in another segment: only closed ones are compacted
        stream.produce_raw(event("end"), key=b"end")
        stream.flush()
        return len([offset for offset in raw_offsets(broker, stream.topic) if offset <= 60]) <= 10

    wait_until(is_compacted, "compaction")
    offsets = raw_offsets(broker, stream.topic)
    holes = offsets[-1] + 1 - len(offsets)
    assert holes >= 50
    running = stream.start()
    stream.wait_for_position(offsets[-1])
    ids = stream.log.ids()
    assert [each for each in ids if each != "end"] == [f"old-{n}" for n in range(50, 60) if n != 53]
    assert ids.count("end") == 1, "an id is learned once"
    assert (running.consumer.stats().gaps, running.consumer.stats().missing) == (0, 0)


def test_of_a_transactional_topic_what_was_committed_is_learned_once(
    stream: Any, broker: ApacheKafka
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": stream.topic})
    producer.init_transactions(DEADLINE_S)
    chance = random.Random(13)
    committed, aborted = [], 0
    for transaction in range(20):
        producer.begin_transaction()
        ids = [f"t-{transaction}-{number}" for number in range(chance.randint(1, 5))]
        for event_id in ids:
            producer.produce(stream.topic, event(event_id), partition=0)
        assert producer.flush(DEADLINE_S) == 0  # also what is aborted has reached the partition
        if transaction == 19 or chance.random() < 0.6:
            producer.commit_transaction(DEADLINE_S)
            committed += ids
        else:
            producer.abort_transaction(DEADLINE_S)
            aborted += len(ids)
    offsets = raw_offsets(broker, stream.topic)
    assert aborted
    assert offsets[-1] + 1 - len(offsets) >= 19 + aborted, "markers and aborted messages leave holes"
    running = stream.start(batch_max=7)
    stream.wait_for_version(len(committed))
    running.stop()
    again = stream.start()
    stream.wait_for_position(offsets[-1])
    assert stream.log.ids() == committed
    assert (running.consumer.stats().gaps, again.consumer.stats().gaps) == (0, 0)


def test_poison_goes_to_the_dead_letters_and_the_rest_into_the_log(stream: Any) -> None:
    ids = stream.produce(0, 20)
    for value in (b"junk", b'{"id":"x"}', b'{"id":"n","x":{"a":1e400},"y":"a"}'):
        stream.produce_raw(value)
    stream.produce_raw(None, key=b"e-1")
    ids += stream.produce(20, 40)
    stream.start()
    stream.wait_for_position(43)
    assert stream.log.ids() == ids
    assert len(stream.dead()) == 3


def test_a_broker_that_was_killed_and_came_back_is_read_on(
    new_stream: Callable[..., Any], broker: ApacheKafka
) -> None:
    stream = new_stream(2)
    ids = stream.produce(0, 200)
    running = stream.start()
    stream.wait_for_version(200)
    broker.kill()
    broker.start()
    ids += stream.produce(200, 400)
    stream.wait_for_version(400)
    assert sorted(stream.log.ids()) == sorted(ids)
    assert running.error is None


def test_a_full_log_pauses_reading_and_keeps_the_membership(
    new_stream: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    stream = new_stream(3)
    ids = stream.produce(0, 300)
    stream.log.limit(100, "a replica cannot keep up")
    # The broker puts out who does not poll for two seconds; waits double up to that.
    settings = {"max.poll.interval.ms": 2_000}
    one, two = stream.start(options=settings), stream.start(options=settings)
    wait_until(lambda: one.consumer.stats().retries + two.consumer.stats().retries >= 8, "waiting")
    assert stream.log.head().version == 100
    stream.log.limit(10_000, "")
    ids += stream.produce(300, 400)
    stream.wait_for_version(400)
    assert sorted(stream.log.ids()) == sorted(ids)
    assert [running.error for running in (one, two)] == [None, None]


def test_a_backfill_and_a_consumer_take_each_message_once(
    stream: Any, broker: ApacheKafka, wait_until: Callable[..., None]
) -> None:
    ids = stream.produce(0, 200)
    stream.produce_raw(b"junk")
    stream.flush()
    rows = TopicRows(broker.bootstrap, stream.topic, 50, JsonValues(), None, number_labels=False)
    filled = Backfill(stream.log, Open(), Join(stream.log, None), skip_bad=True).run(rows)
    assert (filled.entered, filled.refusals) == (150, 1)
    ids += stream.produce(200, 260)
    stream.start()
    stream.wait_for_version(210)
    assert stream.log.ids() == ids[50:]


def test_a_dead_letter_is_learned_once_after_the_fix(stream: Any, broker: ApacheKafka) -> None:
    stream.produce_raw(encode_value(Event(id="e-1", x={"n": 1}, y="unknown")))
    running = stream.start()
    stream.wait_for_position(0)
    running.stop()

    class Fixed(Open):
        def check_label(self, y: object) -> None:
            pass

    assert list(read_dead_letters(broker.bootstrap, "odl-no-such-topic")) == []
    topic = identify(broker.admin, stream.dead_topic)
    retry = Retry(stream.log, Fixed(), Join(stream.log, None), JsonValues(), topic)
    assert [retry.run(stream.dead()).accepted for _ in range(2)] == [1, 0]
    assert stream.log.ids() == ["e-1"]
