"""Dead letters after a fix: listed with their bytes, learned exactly once, however often they are retried."""

from typing import Any

import pytest

from odl.event import Event
from odl.remembered import MemoryPredictions, Remembered
from streaming.connection import admin_client
from streaming.dead_letters import read_dead_letters
from streaming.formats import JsonValues
from streaming.join import Join
from streaming.letter_page import letter_page
from streaming.message import encode_value
from streaming.retry import Retry
from streaming.source import identify


class Schema:
    """Accepts the labels of `known`."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def check_features(self, x: dict[str, object]) -> None:
        pass

    def check_label(self, y: object) -> None:
        if y not in self.known:
            raise ValueError(f"expected one of {self.known}, received {y!r}")


@pytest.fixture
def stream(stream: Any) -> Any:
    """Two good events; two with a label that is unknown, one of them sent twice; junk."""
    stream.produce(0, 2)
    for event_id in ("u-1", "u-2", "u-1"):
        stream.produce_raw(encode_value(Event(id=event_id, x={"n": 1}, y="unknown")), key=b"k")
    stream.produce_raw(b"\xff junk")
    stream.flush()
    running = stream.start()
    stream.wait_for_position(5)
    running.stop()
    return stream


def letters(stream: Any, reason: str = "") -> list[Any]:
    found = read_dead_letters(stream.broker.bootstrap, stream.dead_topic)
    return [letter for letter in found if reason in ("", letter.reason)]


def retry(stream: Any, *known: str, join: Join | None = None) -> Retry:
    topic = identify(admin_client(stream.broker.bootstrap), stream.dead_topic)
    return Retry(stream.log, Schema(*known), join or Join(stream.log, None), JsonValues(), topic)


def test_before_the_fix_a_retry_changes_nothing_and_says_why(stream: Any) -> None:
    done = retry(stream, "a").run(letters(stream))
    assert (done.accepted, done.duplicates) == (0, 0)
    assert [error.reason for _, error in done.refused] == ["BAD_LABEL"] * 3 + ["MALFORMED"]
    assert stream.log.head().version == 2


def test_after_the_fix_each_is_learned_once_however_often_it_is_retried(stream: Any) -> None:
    fixed = retry(stream, "a", "unknown")
    done = fixed.run(letters(stream, "BAD_LABEL"))
    assert (done.accepted, done.duplicates) == (2, 1), "the same id was sent twice"
    done = fixed.run(letters(stream))
    assert (done.accepted, done.duplicates, len(done.refused)) == (0, 3, 1)
    assert stream.log.ids() == ["e-0", "e-1", "u-1", "u-2"]
    event = stream.log.events()[2]
    identity = identify(admin_client(stream.broker.bootstrap), stream.dead_topic)
    assert event.source == f"dead-letter:{identity.cluster_id}:{identity.topic_id}:0"
    assert event.seq == "0"


def test_a_retry_is_remembered_beyond_the_horizon_of_ids(stream: Any) -> None:
    fixed = retry(stream, "unknown")
    fixed.run(letters(stream, "BAD_LABEL"))
    with stream.log.log._mutex:  # as if a million events had come since
        stream.log.log._state.ids.clear()
    assert fixed.run(letters(stream, "BAD_LABEL")).accepted == 0


def test_one_that_was_sent_again_and_learned_meanwhile_is_a_duplicate(stream: Any) -> None:
    stream.produce_raw(encode_value(Event(id="u-1", x={"n": 1}, y="a")))
    stream.start()
    stream.wait_for_version(3)
    done = retry(stream, "a", "unknown").run(letters(stream, "BAD_LABEL"))
    assert (done.accepted, done.duplicates) == (1, 2)


def test_a_label_alone_is_joined_at_its_retry(stream: Any) -> None:
    stream.produce_raw(b'{"id": "p-1", "truth": "a"}')
    running = stream.start()
    stream.wait_for_position(6)
    running.stop()
    predictions = MemoryPredictions(ttl_s=1000.0, records_max=10)
    predictions.put("p-1", Remembered({"n": 1}, {"a": 0.5, "b": 0.5}, version=0))
    fixed = retry(stream, "a", join=Join(stream.log, predictions))
    assert fixed.run(letters(stream, "NO_FEATURES")).accepted == 1
    assert fixed.run(letters(stream, "NO_FEATURES")).duplicates == 1


def test_what_was_cut_is_to_be_sent_again(stream: Any) -> None:
    from dataclasses import replace

    whole = letters(stream, "BAD_LABEL")[0]
    done = retry(stream, "unknown").run([replace(whole, cut=5_000_000)])
    [(_, error)] = done.refused
    assert error.reason == "CUT" and "send it again" in str(error)


def test_the_page_shows_the_newest_first_with_their_bytes(stream: Any) -> None:
    page = letter_page(stream.broker.bootstrap, stream.dead_topic)
    assert [letter["reason"] for letter in page["letters"]] == ["MALFORMED"] + ["BAD_LABEL"] * 3
    newest = page["letters"][0]
    assert newest["value_base64"] == "/yBqdW5r"
    assert (newest["partition"], newest["offset"], newest["source_offset"]) == (0, 3, 5)
    assert '"id":"u-1"' in page["letters"][1]["value"]


def test_a_topic_that_nobody_has_made_yet_has_an_empty_page(stream: Any) -> None:
    assert letter_page(stream.broker.bootstrap, "odl-no-such-topic")["letters"] == []
