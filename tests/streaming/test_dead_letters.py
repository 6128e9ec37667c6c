"""What cannot be learned ends in the dead-letter topic, whole, with the reason; the version does not move."""

import logging
import random

import pytest
from brokers import LARGE_BYTES

from odl.errors import Unavailable
from odl.event import Event
from odl.memory import MemoryLog
from streaming.dead_letters import CUT_BYTES, DeadLetter, DeadLetters, read_dead_letters
from streaming.message import encode_value

GOOD = encode_value(Event(id="good", x={"a": 1}, y="a"))
POISON = {
    "MALFORMED": [b"", b"junk", b'{"id":"a"', b"\xff\xfe", b'{"id":"a","x":{"a":NaN},"y":1}', b'{"id":"a",}'],
    "NO_ID": [b'{"x":{},"y":"a"}', b'{"id":"","x":{},"y":"a"}'],
    "BAD_FIELD": [
        b"[]",
        b"[" * 10_000,
        b'{"id":"a","y":"a"}',
        b'{"id":"a","x":{}}',
        b'{"id":"a","x":{"a":[1]},"y":"a"}',
        b'{"id":"a","x":{},"y":null}',
        b'{"id":"a","x":{},"y":"a","extra":1}',
        b'{"id":"a","x":{},"y":"a","source":"kafka:other:topic:0"}',
        b'{"id":1,"x":{},"y":"a"}',
    ],
    "NOT_FINITE": [
        b'{"id":"a","x":{"a":1e400},"y":"a"}',
        b'{"id":"a","x":{"a":1' + b"0" * 400 + b'},"y":"a"}',
    ],
    "BAD_WEIGHT": [b'{"id":"a","x":{},"y":"a","weight":0}'],
    "BAD_LABEL": [b'{"id":"a","x":{},"y":"unknown"}'],
    "BAD_ID": [b'{"id":"' + b"a" * 201 + b'","x":{},"y":"a"}'],
}


def test_poison_is_kept_with_its_reason_and_the_rest_is_learned_in_order(stream, wait_until):
    expected = []
    stream.produce(0, 3)
    for reason, values in POISON.items():
        for value in values:
            stream.produce_raw(value, key=b"the key")
            expected.append((reason, value))
    stream.produce(3, 6)
    running = stream.start(batch_max=7)
    stream.wait_for_version(6)
    wait_until(lambda: running.consumer.stats().dead_letters == len(expected), "all dead letters")
    letters = stream.dead()
    assert [(letter.reason, letter.value) for letter in letters] == expected
    assert {letter.key for letter in letters} == {b"the key"}
    assert [letter.offset for letter in letters] == list(range(3, 3 + len(expected)))
    assert {letter.source for letter in letters} == set(stream.log.positions())
    assert all(letter.detail for letter in letters)
    assert stream.log.ids() == [f"e-{number}" for number in range(6)]
    assert running.error is None


def test_a_missing_id_is_explained_even_if_there_is_a_key(stream, wait_until):
    stream.produce_raw(b'{"x":{},"y":"a"}', key=b"an-id")
    running = stream.start()
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "the dead letter")
    assert stream.dead()[0].detail == (
        "expected an event id in the field 'id', received none (the Kafka key is not the id)"
    )


def test_an_event_older_than_the_ids_that_are_known_is_a_dead_letter(stream, wait_until):
    """It may have been learned and forgotten; what comes after it is learned."""
    stream.log = type(stream.log)(MemoryLog(ids_max=1))
    stream.produce(0, 5)
    stream.produce_raw(encode_value(Event(id="e-0", x={"number": 0}, y="a", version=1)))
    stream.produce_raw(encode_value(Event(id="new", x={"number": 9}, y="a", version=4)))
    running = stream.start()
    stream.wait_for_version(6)
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "the dead letter")
    running.stop()
    assert running.error is None
    assert stream.log.ids() == [*(f"e-{number}" for number in range(5)), "new"]
    (letter,) = stream.dead()
    assert (letter.reason, letter.offset) == ("EXPIRED", 5)


def test_a_log_that_is_full_is_waited_for(stream, wait_until):
    stream.log.limit(3, "a replica is slow")
    ids = stream.produce(0, 8)
    running = stream.start()
    wait_until(lambda: running.consumer.stats().retries >= 2, "the consumer waits")
    assert stream.log.head().version == 3
    stream.log.limit(100, "")
    stream.wait_for_version(8)
    assert stream.log.ids() == ids


def test_a_value_above_one_mebibyte_is_refused(stream, wait_until):
    value = encode_value(Event(id="large", x={"a": "x" * (1 << 20)}, y="a"))
    stream.produce_raw(value)
    stream.produce(0, 1)
    running = stream.start()
    stream.wait_for_version(1)
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "the dead letter")
    (letter,) = stream.dead()
    assert (letter.reason, letter.value, letter.cut) == ("TOO_LARGE", value, None)


def test_the_head_is_kept_of_a_value_that_the_dead_letter_topic_refuses(broker):
    broker.create_narrow_topic("dead-narrow")
    letters = DeadLetters(broker.bootstrap, "dead-narrow", timeout_s=60.0)
    value = random.Random(1).randbytes(LARGE_BYTES + 1)  # which cannot be compressed either
    letters.write([DeadLetter(None, value, "TOO_LARGE", "expected less", "kafka:c:t:0", 7)])
    letters.close()
    (letter,) = read_dead_letters(broker.bootstrap, "dead-narrow")
    assert (letter.value, letter.cut, letter.offset) == (value[:CUT_BYTES], LARGE_BYTES + 1, 7)


def test_headers_of_the_sender_are_kept(stream, wait_until):
    stream.produce_raw(b"junk", headers=[("trace", b"17"), ("empty", None)])
    running = stream.start()
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "the dead letter")
    assert stream.dead()[0].headers == (("trace", b"17"), ("empty", None))


def test_a_header_whose_name_is_not_text_harms_nobody(stream):
    """It left an exception behind that ended the consumer elsewhere, once the interpreter was warm."""
    ids = stream.produce(0, 200)
    stream.produce_with_header(b"\xff\xfe", GOOD)
    running = stream.start()
    stream.wait_for_version(201)
    assert stream.log.ids() == [*ids, "good"]
    assert running.error is None


def test_no_position_passes_before_the_dead_letter_is_written(stream, caplog, wait_until):
    class Failing:
        """A dead-letter topic that cannot be written for a while."""

        def __init__(self, writer):
            self.writer, self.failures, self.positions = writer, 3, []

        def write(self, letters):
            self.positions.append(dict(stream.log.positions()))
            if self.failures:
                self.failures -= 1
                raise Unavailable("the dead-letter topic has no leader")
            self.writer.write(letters)

    failing = Failing(stream.dead_letters)
    stream.produce(0, 2)
    stream.produce_raw(b"junk")
    stream.produce(2, 4)
    with caplog.at_level(logging.WARNING):
        running = stream.start(dead_letters=failing)
        stream.wait_for_version(4)
    # What came before was learned meanwhile; what comes after waited for its turn.
    assert [list(positions.values()) for positions in failing.positions] == [["1"]] * 4
    assert stream.log.ids() == ["e-0", "e-1", "e-2", "e-3"]
    assert [letter.value for letter in stream.dead()] == [b"junk"]
    assert running.consumer.stats().retries >= 3
    assert "the dead-letter topic has no leader; trying again" in caplog.text


def test_a_dead_letter_that_was_written_twice_is_read_once(stream, wait_until):
    """A consumer died after writing and before passing the position."""
    stream.produce_raw(b"junk")
    stream.log.script = [stream.log.crash]
    crashed = stream.start()
    crashed.join()
    assert str(crashed.error) == "a bug"
    running = stream.start()
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "the dead letter")
    assert len(stream.dead()) == 1


def test_an_error_of_the_schema_that_is_not_about_the_event_ends_the_consumer(stream):
    class Broken:
        def check_features(self, x):
            raise ZeroDivisionError("a bug in the schema")

    stream.produce(0, 1)
    consumer = stream.consumer()
    consumer._schema = Broken()
    with pytest.raises(ZeroDivisionError):
        consumer.run()


def test_reading_a_topic_without_dead_letters_gives_none(broker):
    broker.create_topic("dead-none", 3)
    assert list(read_dead_letters(broker.bootstrap, "dead-none")) == []


def test_reading_from_a_broker_that_is_away_says_so(broker):
    broker.set_down()
    with pytest.raises(Unavailable, match="dead-letter topic 'dead'"):
        list(read_dead_letters(broker.bootstrap, "dead"))


def test_a_header_whose_name_is_not_text_beside_a_value_that_is_none_harms_nobody(stream):
    stream.produce_with_header(b"\xff\xfe", b"junk")
    stream.produce_raw(GOOD)
    running = stream.start()
    stream.wait_for_position(1)
    assert stream.log.ids() == ["good"]
    assert [(letter.value, letter.headers) for letter in stream.dead()] == [(b"junk", ())]
    assert running.error is None
