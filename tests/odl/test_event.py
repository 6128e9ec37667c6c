"""Events: one canonical form of bytes, and bounds on everything a sender controls."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl.errors import InvalidEvent
from odl.event import (
    FIELDS_MAX,
    ID_LENGTH_MAX,
    NAME_LENGTH_MAX,
    STRING_LENGTH_MAX,
    Event,
    check_bounds,
    check_features,
    decode,
    encode,
)

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
values = st.none() | st.booleans() | numbers | st.text(max_size=20)
events = st.builds(
    Event,
    id=st.text(min_size=1, max_size=20),
    x=st.dictionaries(st.text(min_size=1, max_size=10), values, max_size=8),
    y=st.booleans() | numbers | st.text(max_size=10),
    weight=st.floats(0.001, 1000),
    time_ms=st.integers(0, 2**53),
    source=st.text(max_size=10),
    seq=st.integers(0).map(str),
    version=st.integers(0, 2**53),
)


@given(events)
def test_bytes_bring_back_the_event(event: Event) -> None:
    data = encode(event)
    assert decode(data) == event
    assert encode(decode(data)) == data


@given(events)
def test_the_order_of_features_does_not_change_the_bytes(event: Event) -> None:
    backwards = dict(reversed(event.x.items()))
    assert encode(
        Event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"x": backwards})
    ) == encode(event)


def test_defaults_take_no_bytes() -> None:
    assert encode(Event("1", {"b": 1, "a": None}, "y")) == b'{"id":"1","x":{"a":null,"b":1},"y":"y"}'


def test_numbers_and_booleans_keep_their_kind() -> None:
    event = decode(encode(Event("1", {"i": 1, "f": 1.0, "b": True}, 1.0)))
    assert [type(value) for value in event.x.values()] == [bool, float, int]
    assert type(event.y) is float


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"id":"1","x":{},"y":1,"z":2}',
        b'{"id":"1","x":{}}',
        b'{"id":1,"x":{},"y":1}',
        b'{"id":"1","x":{"a":[1]},"y":1}',
        b'{"id":"1","x":{"a":NaN},"y":1}',
        b'{"id":"1","x":[],"y":1}',
        b'{"id":"1","x":{},"y":null}',
    ],
)
def test_what_is_not_an_event_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidEvent, match="not an event") as caught:
        decode(payload)
    assert caught.value.reason == "MALFORMED"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Event("", {}, 1), "NO_ID"),
        (Event("i" * (ID_LENGTH_MAX + 1), {}, 1), "BAD_ID"),
        (Event("1", {"": 1}, 1), "BAD_NAME"),
        (Event("1", {"n" * (NAME_LENGTH_MAX + 1): 1}, 1), "BAD_NAME"),
        (Event("1", {"a": "s" * (STRING_LENGTH_MAX + 1)}, 1), "TOO_LONG"),
        (Event("1", {}, "s" * (STRING_LENGTH_MAX + 1)), "TOO_LONG"),
        (Event("1", {"a": math.nan}, 1), "NOT_FINITE"),
        (Event("1", {"a": -math.inf}, 1), "NOT_FINITE"),
        (Event("1", {"a": 10**400}, 1), "NOT_FINITE"),
        (Event("1", {}, math.inf), "NOT_FINITE"),
        (Event("1", {}, 1, weight=0.0), "BAD_WEIGHT"),
        (Event("1", {}, 1, weight=-1.0), "BAD_WEIGHT"),
        (Event("1", {}, 1, weight=math.nan), "BAD_WEIGHT"),
        (Event("1", {str(n): 1 for n in range(FIELDS_MAX + 1)}, 1), "TOO_WIDE"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_reason(event: Event, reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        check_bounds(event)
    assert caught.value.reason == reason
    assert 400 <= caught.value.status < 500
    assert "expected" in str(caught.value) and len(str(caught.value)) < 600


def test_the_bounds_themselves_are_allowed() -> None:
    x = {str(n).rjust(NAME_LENGTH_MAX, "n"): "s" * STRING_LENGTH_MAX for n in range(10)}
    check_bounds(Event("i" * ID_LENGTH_MAX, x, "s" * STRING_LENGTH_MAX, weight=1e-9))
    check_features({str(n): None for n in range(FIELDS_MAX)})
    check_features({"a": True, "b": -0.0, "c": 1.7e308, "d": 10**300})
