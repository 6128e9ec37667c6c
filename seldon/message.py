"""Seldon's JSON messages as typed objects; anything else is refused with one clear sentence.

>>> decode_message(b'{"jsonData": {"origin": "JFK"}}').jsonData
{'origin': 'JFK'}
>>> decode_message(b'{"jsonData": {"origin": "JFK"}, "extra": 1}')
Traceback (most recent call last):
odl.errors.InvalidEvent: expected a SeldonMessage: Object contains unknown field `extra`
"""

from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from odl.errors import InvalidEvent
from odl.event import Value

BODY_BYTES_MAX = 1 << 20  # checked before anything is parsed
Row: TypeAlias = list[Value]
Json: TypeAlias = dict[str, Any]


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """Numbers in row order."""

    shape: list[int]  # of a request: [rows, features]
    values: list[float] = []  # as many as the product of shape


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """Rows by position: exactly one of `tensor` and `ndarray`."""

    names: list[str] = []  # of the columns; empty: the order that the model declares
    tensor: Tensor | UnsetType = UNSET
    ndarray: list[Row | Value] | UnsetType = UNSET


class Meta(msgspec.Struct, forbid_unknown_fields=True):
    """What travels beside the data."""

    puid: str = ""  # prediction id
    tags: dict[str, Any] = {}  # read: min_version of a request, version of a response
    routing: dict[str, Any] = {}  # Seldon's, ignored
    requestPath: dict[str, Any] = {}  # Seldon's, ignored
    metrics: list[Any] = []  # Seldon's, ignored


class SeldonMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A request, a response or a truth. At most one of data, jsonData and strData."""

    data: Data | UnsetType = UNSET
    jsonData: dict[str, Value] | list[dict[str, Value] | Value] | Value | UnsetType = UNSET
    strData: str | UnsetType = UNSET
    meta: Meta = msgspec.field(default_factory=Meta)
    status: Any = None  # of a response, ignored


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """What became of a prediction. Only request and truth teach; `reward` is accepted and ignored."""

    request: SeldonMessage | UnsetType = UNSET
    response: SeldonMessage | UnsetType = UNSET
    truth: SeldonMessage | UnsetType = UNSET
    reward: float = 0.0


_message_decoder = msgspec.json.Decoder(SeldonMessage)
_feedback_decoder = msgspec.json.Decoder(Feedback)
_T = TypeVar("_T", SeldonMessage, Feedback)


def decode_message(body: bytes | Json) -> SeldonMessage:
    """The message of a JSON body (or of a body that was parsed already). Raises `InvalidEvent`."""
    return _decode(_message_decoder, body)


def decode_feedback(body: bytes | Json) -> Feedback:
    """The feedback of a JSON body (or of a body that was parsed already). Raises `InvalidEvent`."""
    return _decode(_feedback_decoder, body)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes | Json) -> _T:
    kind = decoder.type
    try:
        if not isinstance(body, bytes):
            return msgspec.convert(body, kind)
        if len(body) > BODY_BYTES_MAX:
            raise too_large(len(body))
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(f"expected a {kind.__name__}: {error}") from error
    except msgspec.DecodeError as error:
        raise malformed(f"expected JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise malformed("expected JSON in UTF-8, received other bytes") from error
    except RecursionError as error:
        raise malformed("expected JSON of a few levels, received hundreds") from error


def malformed(sentence: str) -> InvalidEvent:
    """A message of the wrong form."""
    return InvalidEvent(sentence, reason="MALFORMED")


def too_large(size_bytes: int | None = None) -> InvalidEvent:
    """A body beyond `BODY_BYTES_MAX`."""
    received = "more" if size_bytes is None else str(size_bytes)
    return InvalidEvent(
        f"expected a body of at most {BODY_BYTES_MAX} bytes, received {received}",
        status=413,
        reason="TOO_LARGE",
    )
