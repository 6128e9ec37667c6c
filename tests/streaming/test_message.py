"""Messages and events."""

import pytest

from odl.errors import InvalidEvent
from odl.event import Event, encode
from streaming.message import decode_value, encode_value


def read(value, headers=()):
    return decode_value(value, source="kafka:c:t:0", seq="5", headers=headers)


def test_all_fields_travel():
    event = Event(id="a", x={"n": 1.5, "s": "ü", "b": True, "m": None}, y=3, weight=2.0, time_ms=7, version=9)
    back = read(encode_value(event))
    assert (back.x, back.y, back.weight, back.time_ms, back.version) == (event.x, 3, 2.0, 7, 9)
    assert (back.source, back.seq) == ("kafka:c:t:0", "5")


def test_a_weight_of_one_is_the_default_however_it_is_written():
    spelled = read(b'{"id":"a","x":{},"y":1,"weight":1.0}')
    assert encode(spelled) == encode(read(b'{"id":"a","x":{},"y":1}'))


def test_the_client_of_rest_feedback_is_its_source():
    event = read(b'{"id":"a","x":{},"y":1}', headers=[("odl-source", b"rest:shop")])
    assert (event.source, event.seq) == ("rest:shop", "")


@pytest.mark.parametrize("header", [b"kafka:c:t:1", b"", None])
def test_nobody_poses_as_another_partition(header):
    assert read(b'{"id":"a","x":{},"y":1}', headers=[("odl-source", header)]).source == "kafka:c:t:0"


def test_not_a_number_is_explained():
    with pytest.raises(InvalidEvent, match="NaN and Infinity are not JSON: send null for a missing number"):
        read(b'{"id":"a","x":{"n":NaN},"y":1}')
