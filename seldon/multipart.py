"""Multipart forms, as `curl -F` sends them: each field of a SeldonMessage is a part of its own.

>>> kind = "multipart/form-data; boundary=x"
>>> head = b'Content-Disposition: form-data; name="jsonData"'
>>> message_of_parts(kind, b'--x\\r\\n' + head + b'\\r\\n\\r\\n{"distance":1}\\r\\n--x--')
b'{"jsonData":{"distance":1}}'
"""

import re

import msgspec

from seldon.message import malformed

PARTS_MAX = 16  # a message has five fields
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?')
_NAME = re.compile(
    rb'^content-disposition:\s*form-data;.*?\bname="([^"]{1,100})"', re.IGNORECASE | re.MULTILINE
)
_WHOLE = "json"  # the part that holds a whole message, as in other forms
_TEXT = "strData"  # the field that is text and not JSON


def message_of_parts(content_type: str, body: bytes) -> bytes:
    """The JSON of the message whose fields are the parts of `body`; empty when there are none.
    Raises `InvalidEvent`."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise malformed("expected a boundary in the content type multipart/form-data, received none")
    pieces = (b"\r\n" + body).split(b"\r\n--" + found[1].encode(), PARTS_MAX + 2)
    if len(pieces) > PARTS_MAX + 2:
        raise malformed(f"expected at most {PARTS_MAX} parts in a form, received more")
    parts = dict(_part(piece) for piece in pieces[1:] if not piece.startswith(b"--"))
    if _WHOLE in parts:
        return parts[_WHOLE]
    fields = {name: _field(name, value) for name, value in parts.items()}
    return msgspec.json.encode(fields) if fields else b""


def _part(piece: bytes) -> tuple[str, bytes]:
    head, blank, value = piece.partition(b"\r\n\r\n")
    found = _NAME.search(head)
    if not blank or found is None:
        raise malformed("expected parts of a form with a name and a value, received something else")
    return found[1].decode("utf-8", "replace"), value


def _field(name: str, value: bytes) -> str | msgspec.Raw:
    try:
        if name == _TEXT:
            return value.decode()
        return msgspec.json.decode(value, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"expected JSON in the part {name:.100}: {error}") from error
