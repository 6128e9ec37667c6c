"""The consumer on both brokers: every event once, in order, whatever fails."""

import logging
import random
import threading

import pytest

from odl.errors import Unavailable
from odl.event import Event
from odl.log import Append
from streaming.connection import admin_client
from streaming.message import encode_value
from streaming.source import identify


@pytest.fixture
def wait_for_counts(wait_until):
    """Wait until a consumer's counters are at least these."""

    def wait(running, **expected):
        for name, value in expected.items():
            wait_until(
                lambda n=name, v=value: getattr(running.consumer.stats(), n) >= v, f"{name} >= {value}"
            )

    return wait


def test_every_event_becomes_one_version_in_the_order_of_the_topic(stream):
    ids = stream.produce(0, 1200)
    running = stream.start()
    stream.wait_for_version(1200)
    running.stop()
    assert running.error is None
    assert stream.log.ids() == ids
    assert running.consumer.stats().accepted == 1200
    assert list(stream.log.positions().values()) == ["1199"]


def test_events_say_where_they_came_from(stream):
    stream.produce(0, 2)
    stream.start()
    stream.wait_for_version(2)
    (source,) = stream.log.positions()
    topic = identify(admin_client(stream.broker.bootstrap), stream.topic)
    assert source == topic.source(0)
    assert [(event.source, event.seq) for event in stream.log.events()] == [(source, "0"), (source, "1")]


def test_an_event_that_was_produced_twice_is_learned_once(stream, wait_until):
    stream.produce(0, 10)
    stream.produce(0, 10)
    running = stream.start()
    stream.wait_for_position(19)
    wait_until(lambda: running.consumer.stats().duplicates == 10, "duplicates")
    assert stream.log.head().version == 10


def test_a_restarted_consumer_goes_on_after_the_stored_position(stream):
    stream.produce(0, 100)
    first = stream.start()
    stream.wait_for_version(100)
    first.stop()
    ids = stream.produce(100, 150)
    second = stream.start()
    stream.wait_for_version(150)
    assert stream.log.ids()[100:] == ids
    assert second.consumer.stats().duplicates == 0


def test_a_crash_in_the_middle_of_a_batch_loses_and_doubles_nothing(stream):
    ids = stream.produce(0, 900)
    random.seed(1)
    for _ in range(5):
        stream.log.script = [stream.log.crash]
        crashed = stream.start(batch_max=random.randint(20, 200))
        crashed.join()
        assert str(crashed.error) == "a bug", "an error that nobody expected must end the consumer"
    running = stream.start()
    stream.wait_for_version(900)
    assert stream.log.ids() == ids
    assert running.error is None


@pytest.mark.parametrize("fault", ["lost_reply", "half", "away"])
def test_a_log_that_fails_for_a_while_is_waited_for(stream, fault, caplog):
    ids = stream.produce(0, 300)
    stream.log.script = [getattr(stream.log, fault)] * 3
    running = stream.start(batch_max=100)
    stream.wait_for_version(300)
    assert stream.log.ids() == ids
    assert running.consumer.stats().retries >= 3
    assert "trying again" in caplog.text


def test_a_log_that_lost_its_tail_is_filled_again(stream, wait_for_counts):
    ids = stream.produce(0, 100)
    running = stream.start()
    stream.wait_for_version(60)
    wait_for_counts(running, accepted=100)
    kept = stream.log.remember()
    ids += stream.produce(100, 250)
    stream.wait_for_version(250)
    wait_for_counts(running, accepted=250)
    stream.log.rewind(kept)
    ids += stream.produce(250, 260)
    stream.wait_for_version(260)
    assert stream.log.ids() == ids
    assert running.consumer.stats().gaps > 0


def test_a_log_that_lost_its_tail_is_filled_again_when_nothing_new_arrives(stream):
    ids = stream.produce(0, 50)
    stream.start(identity_check_s=0.1)
    stream.wait_for_version(50)
    kept = stream.log.remember()
    ids += stream.produce(50, 80)
    stream.wait_for_version(80)
    stream.log.rewind(kept)
    stream.wait_for_version(80)
    assert stream.log.ids() == ids


def test_a_log_that_is_gone_is_created_and_filled_from_the_beginning(
    stream, caplog, wait_until, wait_for_counts
):
    ids = stream.produce(0, 50)
    running = stream.start()
    wait_for_counts(running, accepted=50)
    before = stream.log.head().log_id
    stream.log.rewind(None)
    ids += stream.produce(50, 60)
    wait_until(lambda: running.consumer.stats().accepted >= 110, "everything again")
    assert stream.log.ids() == ids
    assert stream.log.head().log_id != before
    assert "the log was gone" in caplog.text


def test_tombstones_are_passed_over_and_counted(stream, wait_until):
    stream.produce(0, 2)
    stream.produce_raw(None, key=b"e-1")
    stream.produce(2, 3)
    running = stream.start()
    stream.wait_for_position(3)
    wait_until(lambda: running.consumer.stats().tombstones == 1, "the tombstone")
    assert stream.log.ids() == ["e-0", "e-1", "e-2"]
    assert stream.dead() == []
    assert running.consumer.stats().dead_letters == 0


def test_holes_in_the_offsets_are_no_reason_to_stop(stream):
    """Compaction and transactions leave holes: here offset 5 follows on position 1."""
    ids = stream.produce(0, 2)
    first = stream.start()
    stream.wait_for_version(2)
    first.stop()
    stream.produce(2, 5)
    stream.broker.delete_records(stream.topic, 0, 5)
    ids += stream.produce(5, 8)
    running = stream.start()
    stream.wait_for_version(5)
    assert stream.log.ids() == ids
    assert running.consumer.stats().gaps == 0


def test_offsets_that_retention_removed_are_counted_and_said_aloud(stream, caplog, wait_until):
    stream.produce(0, 10)
    first = stream.start()
    stream.wait_for_version(10)
    first.stop()
    stream.produce(10, 30)
    stream.broker.delete_records(stream.topic, 0, 25)
    with caplog.at_level(logging.ERROR):
        running = stream.start()
        stream.wait_for_version(15)
    wait_until(lambda: running.consumer.stats().accepted == 5, "the rest")
    assert running.consumer.stats().missing == 15
    assert "retention removed 15 offsets before they were read; going on at 25" in caplog.text


def test_a_running_consumer_that_falls_out_of_range_goes_on(stream, wait_until, wait_for_counts):
    """The position is removed while the log is away: nothing ahead was fetched."""
    stream.produce(0, 10)
    running = stream.start()
    wait_for_counts(running, accepted=10)
    kept = stream.log.remember()
    stream.produce(10, 20)
    wait_for_counts(running, accepted=20)
    stream.log.rewind(kept)
    stream.broker.delete_records(stream.topic, 0, 15)
    stream.produce(20, 21)
    wait_until(lambda: stream.log.ids()[-1:] == ["e-20"], "the newest event")
    assert stream.log.ids() == [f"e-{n}" for n in [*range(10), *range(15, 21)]]
    assert running.consumer.stats().missing == 5


def test_a_partition_that_ends_before_the_stored_position_goes_on_under_a_new_key(
    stream, caplog, wait_until, wait_for_counts
):
    ids = stream.produce(0, 10)
    source = identify(admin_client(stream.broker.bootstrap), stream.topic).source(0)
    stream.log.append(Append(b"", "", source, prev=None, seq="500"))  # more than Kafka still has
    first = stream.start()
    wait_for_counts(first, truncations=1)
    wait_until(lambda: stream.log.positions().get(f"{source}#1") == "9", "the new key")
    first.stop()
    assert "Kafka lost records" in caplog.text
    ids = stream.produce(10, 20)
    second = stream.start()
    stream.wait_for_version(10)
    assert stream.log.ids() == ids
    assert stream.log.positions() == {source: "500", f"{source}#1": "19"}
    assert second.consumer.stats().truncations == 0


def test_a_topic_that_was_created_again_is_read_from_its_beginning(
    stream, caplog, wait_until, wait_for_counts
):
    stream.produce(0, 10)
    running = stream.start(identity_check_s=0.1)
    wait_for_counts(running, accepted=10)
    stream.delete_topic()
    stream.create_topic_again()
    for number in range(30):
        stream.produce_raw(encode_value(Event(id=f"new-{number}", x={}, y="b")))
    stream.flush()
    wait_until(lambda: len(stream.log.ids()) >= 40, "the new events")
    assert sorted(stream.log.ids()[10:]) == sorted(f"new-{number}" for number in range(30))
    assert len(stream.log.positions()) == 2
    assert running.error is None


def test_a_topic_that_is_not_there_yet_is_waited_for(stream, wait_for_counts):
    stream.delete_topic()
    running = stream.start()
    wait_for_counts(running, retries=1)
    stream.create_topic_again()
    ids = stream.produce(0, 5)
    stream.wait_for_version(5)
    assert stream.log.ids() == ids
    assert running.error is None


def test_two_consumers_of_a_group_share_and_hand_over_partitions(new_stream):
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
    three = stream.start()
    two.stop()
    ids += stream.produce(1200, 1600)
    stream.wait_for_version(1600)
    assert sorted(stream.log.ids()) == sorted(ids)
    for partition in range(4):
        numbers = [event.x["number"] for event in stream.log.events() if event.x["number"] % 4 == partition]
        assert numbers == sorted(numbers)
    assert [running.error for running in (one, two, three)] == [None] * 3


@pytest.mark.needs("long sessions")
def test_a_partition_that_stays_with_its_consumer_is_not_taken_from_it(new_stream, caplog, wait_until):
    """Cooperative assignment: of six partitions, three move to the second consumer, and none else."""
    stream = new_stream(6)
    patient = {"session.timeout.ms": 60_000}  # nobody is put out of the group in between
    stream.produce(0, 60)
    with caplog.at_level(logging.INFO, "streaming.consumer"):
        one = stream.start(options=patient)
        stream.wait_for_version(60)
        two = stream.start(options=patient)
        wait_until(lambda: len(one.consumer._places) == len(two.consumer._places) == 3, "three each")
        stream.produce(60, 120)
        stream.wait_for_version(120)
    assert caplog.text.count("reading from offset") == 6 + 3


def test_two_consumers_that_both_own_a_partition_do_not_double_an_event(stream, wait_until):
    """A zombie: a consumer that lost its partition while it was paused goes on appending."""
    ids = stream.produce(0, 500)
    zombie, heir = stream.consumer(batch_max=7), stream.consumer(batch_max=11)
    heir._settings["group.id"] = "another group: Kafka assigns the same partition to both"
    threads = [threading.Thread(target=consumer.run) for consumer in (zombie, heir)]
    for thread in threads:
        thread.start()
    stream.wait_for_version(500)
    wait_until(lambda: (zombie.stats().accepted + heir.stats().accepted) == 500, "both")
    for consumer in (zombie, heir):
        consumer.stop()
    for thread in threads:
        thread.join()
    assert stream.log.ids() == ids


def test_a_consumer_that_the_group_gave_up_on_while_it_waited_comes_back(stream):
    """The log is away for longer than Kafka lets a member be silent."""
    ids = stream.produce(0, 20)
    stream.log.script = [stream.log.away] * 6  # 3 s
    running = stream.start(batch_max=5, options={"max.poll.interval.ms": 1500})
    stream.wait_for_version(20)
    ids += stream.produce(20, 40)
    stream.wait_for_version(40)
    assert stream.log.ids() == ids
    assert running.error is None


def test_it_stops_while_the_log_is_away(stream, wait_for_counts):
    stream.produce(0, 5)
    stream.log.script = [stream.log.away] * 1000
    running = stream.start()
    wait_for_counts(running, retries=1)
    running.stop()
    assert running.error is None


def test_it_stops_while_kafka_is_away(stream, wait_until):
    running = stream.start()
    wait_until(lambda: running.consumer._places, "an assignment")
    stream.broker.set_down()
    running.stop()
    assert running.error is None


def test_it_goes_on_after_kafka_was_away(stream):
    ids = stream.produce(0, 5)
    running = stream.start(identity_check_s=0.05)
    stream.wait_for_version(5)
    stream.broker.set_down()
    threading.Event().wait(0.5)
    stream.broker.set_up()
    ids += stream.produce(5, 10)
    stream.wait_for_version(10)
    assert stream.log.ids() == ids
    assert running.error is None


def test_it_stops_while_positions_cannot_be_read(stream, wait_for_counts):
    class Away:
        def positions(self):
            raise Unavailable("connection refused")

    running = stream.start(log=Away())
    wait_for_counts(running, retries=1)
    running.stop()
    assert running.error is None


def test_it_stops_while_an_assignment_waits_to_be_taken(new_stream, wait_for_counts):
    """To close a client that has one can hang librdkafka, once in a hundred times or so."""

    class Away:
        def positions(self):
            raise Unavailable("connection refused")

    stream = new_stream(3)
    for _ in range(5):
        running = stream.start(log=Away())
        wait_for_counts(running, retries=4)  # by then Kafka has answered
        running.stop()
        assert running.error is None
