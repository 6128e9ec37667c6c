"""Multipart forms become the JSON of a message, or are refused with one sentence."""

import json

import pytest

from odl.errors import InvalidEvent
from seldon.multipart import PARTS_MAX, message_of_parts

KIND = 'multipart/form-data; boundary="b0undary"'


def form(*parts: tuple[str, str], ending: str = "--b0undary--\r\n") -> bytes:
    lines = [
        f'--b0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in parts
    ]
    return "\r\n".join([*lines, ending]).encode()


def test_each_part_is_a_field_and_text_stays_text() -> None:
    body = message_of_parts(KIND, form(("strData", '{"a": 1}'), ("meta", '{"puid": "p"}')))
    assert json.loads(body) == {"strData": '{"a": 1}', "meta": {"puid": "p"}}


def test_a_file_is_a_part_like_any_other() -> None:
    body = (
        b'--b0undary\r\nContent-Disposition: form-data; name="jsonData"; filename="x.json"\r\n'
        b'Content-Type: application/json\r\n\r\n{"distance": 1}\r\n--b0undary--\r\n'
    )
    assert json.loads(message_of_parts(KIND, body)) == {"jsonData": {"distance": 1}}


def test_the_part_json_is_the_whole_message() -> None:
    assert message_of_parts(KIND, form(("json", '{"jsonData": {}}'))) == b'{"jsonData": {}}'


def test_a_part_cannot_smuggle_in_another_field() -> None:
    with pytest.raises(InvalidEvent, match="expected JSON in the part jsonData"):
        message_of_parts(KIND, form(("jsonData", '1, "strData": "x"')))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", form(("jsonData", "{}"))),
        (KIND, b"--b0undary\r\nno head\r\n--b0undary--"),
        (KIND, b"--b0undary\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--b0undary--"),
        (KIND, form(*[("jsonData", "1")] * (PARTS_MAX + 2))),
        (KIND, form(("jsonData", "{"))),
        (KIND, form(("jsonData", "[" * 100_000))),
        (KIND, form(("strData", "x")).replace(b"x", b"\xff")),
    ],
)
def test_what_is_no_form_of_a_message_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        message_of_parts(kind, body)
    assert (caught.value.status, caught.value.reason) == (400, "MALFORMED")


def test_no_parts_are_no_message() -> None:
    assert message_of_parts(KIND, b"") == b"" == message_of_parts(KIND, b"--b0undary--")
