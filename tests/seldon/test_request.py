"""Rows out of every form of Seldon's message, and one clear sentence for everything else."""

import pytest

from odl.errors import InvalidEvent
from seldon.message import BODY_BYTES_MAX, decode_message
from seldon.request import ROWS_MAX, Form, Request, read_request

ROW = {"origin": "JFK", "distance": 1400}


def read(body: bytes, names: tuple[str, ...] = ()) -> Request:
    return read_request(decode_message(body), names)


@pytest.mark.parametrize(
    ("body", "form", "single"),
    [
        (b'{"data":{"names":["origin","distance"],"ndarray":[["JFK",1400]]}}', Form.NDARRAY, False),
        (b'{"jsonData":{"origin":"JFK","distance":1400}}', Form.JSON, True),
        (b'{"jsonData":[{"origin":"JFK","distance":1400}]}', Form.JSON, False),
        (b'{"strData":"{\\"origin\\":\\"JFK\\",\\"distance\\":1400}"}', Form.STRING, True),
        (b'{"strData":"[{\\"origin\\":\\"JFK\\",\\"distance\\":1400}]"}', Form.STRING, False),
    ],
)
def test_one_row_reads_the_same_from_every_form(body: bytes, form: Form, single: bool) -> None:
    request = read(body)
    assert request.rows == [ROW]
    assert (request.form, request.single) == (form, single)


def test_a_tensor_is_cut_into_rows_by_its_shape() -> None:
    request = read(b'{"data":{"names":["a","b"],"tensor":{"shape":[2,2],"values":[1,2,3,4.5]}}}')
    assert request.rows == [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.5}]
    assert request.form is Form.TENSOR


def test_rows_without_names_take_the_declared_order() -> None:
    assert read(b'{"data":{"ndarray":[["JFK",1400]]}}', ("origin", "distance")).rows == [ROW]


def test_sent_names_win_over_the_declared_order() -> None:
    body = b'{"data":{"names":["distance","origin"],"ndarray":[[1400,"JFK"]]}}'
    assert read(body, ("origin", "distance")).rows == [ROW]


def test_missing_and_boolean_values_stay_what_they_are() -> None:
    assert read(b'{"jsonData":{"tail":null,"late":true}}').rows == [{"tail": None, "late": True}]


def test_puid_and_min_version_travel_in_meta() -> None:
    request = read(b'{"jsonData":{"a":1},"meta":{"puid":"p-1","tags":{"min_version":7,"team":"x"}}}')
    assert (request.puid, request.min_version) == ("p-1", 7)


def test_a_version_that_protobuf_made_a_float_is_read() -> None:
    assert read(b'{"jsonData":{"a":1},"meta":{"tags":{"min_version":7.0}}}').min_version == 7


BAD = {
    "nothing": (b"", "MALFORMED", "expected JSON"),
    "not json": (b"{", "MALFORMED", "expected JSON"),
    "not utf-8": (b'{"strData":"\xff"}', "MALFORMED", "expected JSON"),
    "trailing": (b'{"jsonData":{"a":1}} x', "MALFORMED", "trailing"),
    "a list": (b"[]", "MALFORMED", "expected a SeldonMessage: Expected `object`, got `array`"),
    "a number": (b"3", "MALFORMED", "expected a SeldonMessage"),
    "unknown field": (b'{"jsonData":{"a":1},"extra":1}', "MALFORMED", "unknown field `extra`"),
    "unknown field in data": (b'{"data":{"array":[[1]]}}', "MALFORMED", "unknown field `array`"),
    "unknown field in meta": (b'{"jsonData":{"a":1},"meta":{"id":"x"}}', "MALFORMED", "unknown field `id`"),
    "empty object": (b"{}", "MALFORMED", "exactly one of data, jsonData and strData, received none"),
    "two forms": (b'{"jsonData":{"a":1},"strData":"x"}', "MALFORMED", "received jsonData and strData"),
    "empty data": (b'{"data":{}}', "MALFORMED", "exactly one of data.ndarray and data.tensor"),
    "two kinds of data": (
        b'{"data":{"names":["a"],"ndarray":[[1]],"tensor":{"shape":[1,1],"values":[1]}}}',
        "MALFORMED",
        "exactly one of data.ndarray and data.tensor",
    ),
    "no rows": (b'{"data":{"names":["a"],"ndarray":[]}}', "EMPTY", "at least one row"),
    "no features": (b'{"jsonData":{}}', "EMPTY", "at least one feature"),
    "no objects": (b'{"jsonData":[]}', "EMPTY", "at least one row"),
    "bare values": (b'{"data":{"names":["a"],"ndarray":[1]}}', "BAD_SHAPE", "list of rows"),
    "nested rows": (b'{"data":{"names":["a"],"ndarray":[[[1]]]}}', "MALFORMED", "expected a SeldonMessage"),
    "nested features": (b'{"jsonData":{"a":{"b":1}}}', "MALFORMED", "expected a SeldonMessage"),
    "json number": (b'{"jsonData":3}', "MALFORMED", "expected features as an object"),
    "json null": (b'{"jsonData":null}', "MALFORMED", "expected features as an object"),
    "text that is no json": (b'{"strData":"late"}', "MALFORMED", "expected strData to be JSON text"),
    "no names": (b'{"data":{"ndarray":[[1]]}}', "NO_NAMES", "expected data.names"),
    "name twice": (b'{"data":{"names":["a","a"],"ndarray":[[1,2]]}}', "BAD_NAME", "'a' again"),
    "short row": (b'{"data":{"names":["a","b"],"ndarray":[[1,2],[1]]}}', "BAD_SHAPE", "2 values in row 1"),
    "long row": (b'{"data":{"names":["a"],"ndarray":[[1,2]]}}', "BAD_SHAPE", "received 2"),
    "tensor too short": (
        b'{"data":{"names":["a","b"],"tensor":{"shape":[1,2],"values":[1]}}}',
        "BAD_SHAPE",
        "expected 2 values",
    ),
    "tensor of one dimension": (
        b'{"data":{"names":["a"],"tensor":{"shape":[1],"values":[1]}}}',
        "BAD_SHAPE",
        "shape [rows, features]",
    ),
    "negative shape": (
        b'{"data":{"names":["a"],"tensor":{"shape":[-1,-1],"values":[1]}}}',
        "BAD_SHAPE",
        "shape [rows, features]",
    ),
    "tensor of strings": (
        b'{"data":{"names":["a"],"tensor":{"shape":[1,1],"values":["x"]}}}',
        "MALFORMED",
        "Expected `float`, got `str`",
    ),
    "NaN": (b'{"jsonData":{"a":NaN}}', "MALFORMED", "expected JSON"),
    "Infinity": (b'{"jsonData":{"a":Infinity}}', "MALFORMED", "expected JSON"),
    "1e400": (b'{"jsonData":{"a":1e400}}', "MALFORMED", "out of range"),
    "5000 digits": (b'{"jsonData":{"a":' + b"9" * 5000 + b"}}", "MALFORMED", "out of range"),
    "deep": (b'{"meta":{"tags":{"a":' + b"[" * 99_999 + b"]" * 99_999 + b"}}}", "MALFORMED", "a few levels"),
    "deep jsonData": (b'{"jsonData":' + b"[" * 99_999 + b"]" * 99_999 + b"}", "MALFORMED", "expected"),
    "many rows": (b'{"jsonData":[' + b'{"a":1},' * ROWS_MAX + b'{"a":1}]}', "TOO_MANY", "at most 1000 rows"),
    "puid too long": (b'{"jsonData":{"a":1},"meta":{"puid":"' + b"p" * 201 + b'"}}', "BAD_ID", "meta.puid"),
    "puid of a number": (b'{"jsonData":{"a":1},"meta":{"puid":1}}', "MALFORMED", "$.meta.puid"),
    "unprintable puid": (b'{"jsonData":{"a":1},"meta":{"puid":"a\\u0000"}}', "BAD_ID", "printable"),
    "negative min_version": (
        b'{"jsonData":{"a":1},"meta":{"tags":{"min_version":-1}}}',
        "MALFORMED",
        "meta.tags.min_version",
    ),
    "min_version of text": (
        b'{"jsonData":{"a":1},"meta":{"tags":{"min_version":"7"}}}',
        "MALFORMED",
        "meta.tags.min_version",
    ),
    "binData": (b'{"binData":"AAAA"}', "MALFORMED", "unknown field `binData`"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_one_clear_sentence(name: str) -> None:
    body, reason, sentence = BAD[name]
    with pytest.raises(InvalidEvent) as caught:
        read(body)
    assert (caught.value.status, caught.value.reason) == (400, reason)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_body_beyond_the_cap_is_refused_unread() -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_message(b"[" * (BODY_BYTES_MAX + 1))
    assert (caught.value.status, caught.value.reason) == (413, "TOO_LARGE")
