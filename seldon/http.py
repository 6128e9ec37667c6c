"""The little of HTTP that the server needs on top of granian: a request's body under a cap, a response."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from odl.errors import InvalidEvent
from seldon.message import BODY_BYTES_MAX, Json, malformed, too_large

BODY_SECONDS_MAX = 10.0  # a body that takes longer to arrive is given up
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class Scope(Protocol):
    """What granian says of a request (RSGI 1.x)."""

    method: str
    path: str
    query_string: str
    headers: Any


class Transport(Protocol):
    """Granian's half of a request (RSGI 1.x)."""

    async def __call__(self) -> bytes:
        """The whole body."""

    def __aiter__(self) -> Any:
        """The body in pieces."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def json(message: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> "Response":
        """`message` as JSON."""
        return Response(msgspec.json.encode(message), status, headers=headers)


async def read_message(scope: Scope, transport: Transport) -> bytes | Json:
    """The JSON of a request, sent as body, as form field `json=` or as `?json=`. Raises `InvalidEvent`."""
    kind = scope.headers.get("content-type", "")
    if kind.startswith(MULTIPART):
        raise InvalidEvent(
            f"expected a body of application/json or {FORM}, received {MULTIPART}",
            status=415,
            reason="UNSUPPORTED",
        )
    body = await read_body(scope, transport)
    if kind.startswith(FORM) and body:
        return _field(body) or _field(scope.query_string.encode()) or _no_message()
    return body or _field(scope.query_string.encode()) or _no_message()


async def read_body(scope: Scope, transport: Transport) -> bytes:
    """The body, refused (413) before it is read when it says that it is beyond the cap, and as soon as
    it goes beyond the cap otherwise; given up (408) when it takes too long to arrive."""
    announced = scope.headers.get("content-length")
    if announced is not None and int(announced) > BODY_BYTES_MAX:  # granian lets only digits through
        raise too_large(int(announced))
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            if announced is not None:
                return await transport()
            pieces = bytearray()
            async for piece in transport:
                pieces += piece
                if len(pieces) > BODY_BYTES_MAX:
                    raise too_large()
            return bytes(pieces)
    except TimeoutError as error:
        raise InvalidEvent(
            f"expected the whole body within {BODY_SECONDS_MAX:g} seconds", status=408, reason="TOO_SLOW"
        ) from error


def _field(text: bytes) -> bytes:
    try:
        fields = parse_qs(text, max_num_fields=16)
    except ValueError as error:
        raise malformed(f"expected a form with a field json: {error}") from error
    return fields[b"json"][0] if b"json" in fields else b""


def _no_message() -> bytes:
    raise malformed("expected a JSON message as body, form field json or ?json=, received none")
