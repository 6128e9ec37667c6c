"""What happens to topics in real life: holes, transactions, retention, a broker that dies."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from odl.event import Event
from streaming.message import encode_value

DEADLINE_S = 60.0


def event(event_id: str, number: int = 0) -> bytes:
    return encode_value(Event(id=event_id, x={"number": number}, y="a"))


def reader(stream: Any) -> Consumer:
    own = {"bootstrap.servers": stream.broker.bootstrap, "group.id": "raw", "enable.partition.eof": True}
    return Consumer({**own, "auto.offset.reset": "earliest"})


def raw_offsets(stream: Any) -> list[int]:
    """The offsets of the messages that a plain consumer gets to see in partition 0."""
    consumer = reader(stream)
    consumer.assign([TopicPartition(stream.topic, 0, 0)])
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


@pytest.mark.needs("compaction")
def test_a_compacted_topic_with_holes_is_read_to_its_end(
    stream: Any, wait_until: Callable[..., None]
) -> None:
    settings = {"segment_ms": "200", "min_cleanable_dirty_ratio": "0.01", "delete_retention_ms": "100"}
    stream.broker.set_topic(stream.topic, cleanup_policy="compact", **settings)
    for number in range(60):  # 10 keys; of each, compaction keeps the newest
        stream.produce_raw(event(f"old-{number}", number), key=b"key-%d" % (number % 10))
    stream.produce_raw(None, key=b"key-3")
    stream.flush()

    def is_compacted() -> bool:
        time.sleep(0.3)  # the next message is in another segment: only closed ones are compacted
        stream.produce_raw(event("end"), key=b"end")
        stream.flush()
        return len([offset for offset in raw_offsets(stream) if offset <= 60]) <= 10

    wait_until(is_compacted, "compaction")
    offsets = raw_offsets(stream)
    holes = offsets[-1] + 1 - len(offsets)
    assert holes >= 50
    running = stream.start()
    stream.wait_for_position(offsets[-1])
    ids = stream.log.ids()
    assert [each for each in ids if each != "end"] == [f"old-{n}" for n in range(50, 60) if n != 53]
    assert ids.count("end") == 1, "an id is learned once"
    assert (running.consumer.stats().gaps, running.consumer.stats().missing) == (0, 0)


@pytest.mark.needs("transactions")
def test_of_a_transactional_topic_what_was_committed_is_learned_once(stream: Any) -> None:
    producer = Producer({"bootstrap.servers": stream.broker.bootstrap, "transactional.id": stream.topic})
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
    offsets = raw_offsets(stream)
    assert aborted
    assert offsets[-1] + 1 - len(offsets) >= 19 + aborted, "markers and aborted messages leave holes"
    running = stream.start(batch_max=7)
    stream.wait_for_version(len(committed))
    running.stop()
    again = stream.start()
    stream.wait_for_position(offsets[-1])
    assert stream.log.ids() == committed
    assert (running.consumer.stats().gaps, again.consumer.stats().gaps) == (0, 0)


@pytest.mark.needs("transactions")
def test_an_open_transaction_holds_back_what_came_after_it_and_no_more(stream: Any) -> None:
    producer = Producer({"bootstrap.servers": stream.broker.bootstrap, "transactional.id": stream.topic})
    producer.init_transactions(DEADLINE_S)
    ids = stream.produce(0, 5)
    producer.begin_transaction()
    producer.produce(stream.topic, event("t-0"), partition=0)
    assert producer.flush(DEADLINE_S) == 0
    ids += ["t-0", *stream.produce(5, 10)]
    stream.start()
    stream.wait_for_version(5)
    producer.commit_transaction(DEADLINE_S)
    stream.wait_for_version(11)
    assert stream.log.ids() == ids


@pytest.mark.needs("retention")
def test_what_retention_removed_before_it_was_read_is_counted(
    stream: Any, wait_until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    stream.produce(0, 10)
    running = stream.start()
    stream.wait_for_version(10)
    running.stop()
    stream.produce(10, 40)
    consumer = reader(stream)
    partition = TopicPartition(stream.topic, 0)
    stream.broker.set_topic(stream.topic, retention_ms="1")
    wait_until(lambda: consumer.get_watermark_offsets(partition, cached=False)[0] == 40, "retention")
    stream.broker.set_topic(stream.topic, retention_ms="-1")
    consumer.close()
    ids = stream.produce(40, 45)
    running = stream.start()
    stream.wait_for_version(15)
    assert stream.log.ids()[10:] == ids
    assert running.consumer.stats().missing == 30
    assert "retention removed 30 offsets before they were read; going on at 40" in caplog.text


@pytest.mark.needs("restart")
def test_a_broker_that_was_killed_and_came_back_is_read_on(new_stream: Callable[..., Any]) -> None:
    stream = new_stream(2)
    ids = stream.produce(0, 200)
    running = stream.start()
    stream.wait_for_version(200)
    stream.broker.restart()
    ids += stream.produce(200, 400)
    stream.wait_for_version(400)
    assert sorted(stream.log.ids()) == sorted(ids)
    assert running.error is None
