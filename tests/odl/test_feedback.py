"""Feedback: validation that REST and Kafka share, and the sink that needs no Kafka."""

import pytest
from hash_learner import HashSchema

from odl.errors import InvalidEvent
from odl.event import Event, decode
from odl.feedback import DirectSink, check_row, prepare
from odl.log import Outcome
from odl.memory import MemoryLog

GOOD = Event(id="f-1", x={"n": 1.0}, y="yes", source="rest:test")


def test_the_direct_sink_appends_once_and_tells_where():
    log = MemoryLog()
    log.create()
    sink = DirectSink(log, "memory")
    first, again = sink.submit(GOOD), sink.submit(GOOD)
    assert (first.outcome, first.version, first.durability) == (Outcome.ACCEPTED, 1, "memory")
    assert (again.outcome, again.version) == (Outcome.DUPLICATE, 1)
    assert decode(log.read(0, 10).entries[0].payload) == GOOD
    assert log.positions() == {}


def test_feedback_that_may_have_been_learned_and_forgotten_is_refused_as_expired():
    log = MemoryLog(ids_max=1)
    log.create()
    sink = DirectSink(log, "memory")
    for number in range(4):
        sink.submit(Event(id=f"f-{number}", x={}, y="yes", source="rest:test"))
    late = Event(id="f-0", x={}, y="yes", source="rest:test", version=1)
    with pytest.raises(
        InvalidEvent, match="'f-0' answers a prediction of version 1, which is older"
    ) as caught:
        sink.submit(late)
    assert (caught.value.status, caught.value.reason) == (410, "EXPIRED")
    assert log.head().version == 4


def test_a_good_event_passes_unchanged():
    assert prepare(GOOD, HashSchema()) is GOOD


@pytest.mark.parametrize(
    ("event", "reason", "status"),
    [
        (Event(id="", x={}, y="yes"), "NO_ID", 400),
        (Event(id="i" * 201, x={}, y="yes"), "BAD_ID", 400),
        (Event(id="a", x={"poison": 1}, y="yes"), "BAD_FEATURES", 422),
        (Event(id="a", x={}, y="maybe"), "BAD_LABEL", 422),
        (Event(id="a", x={"n": float("nan")}, y="yes"), "NOT_FINITE", 422),
        (Event(id="a", x={"n": 10**400}, y="yes"), "NOT_FINITE", 422),
        (Event(id="a", x={}, y=float("inf")), "NOT_FINITE", 422),
        (Event(id="a", x={"n": "s" * 1001}, y="yes"), "TOO_LONG", 400),
        (Event(id="a", x={"": 1}, y="yes"), "BAD_NAME", 400),
        (Event(id="a", x={str(n): 1 for n in range(4097)}, y="yes"), "TOO_WIDE", 400),
        (Event(id="a", x={}, y="yes", weight=0.0), "BAD_WEIGHT", 400),
    ],
)
def test_a_bad_event_is_refused_with_its_reason(event: Event, reason: str, status: int):
    with pytest.raises(InvalidEvent) as caught:
        prepare(event, HashSchema())
    assert (caught.value.reason, caught.value.status) == (reason, status)


def test_a_row_meets_the_same_checks_as_feedback():
    check_row({"n": 1}, HashSchema())
    for x in ({"poison": 1}, {"n": float("nan")}):
        with pytest.raises(InvalidEvent):
            check_row(x, HashSchema())
