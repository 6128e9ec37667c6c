"""The little of HTTP that the server needs on top of granian: a request's body under a cap, a response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
from granian.rsgi import ProtocolClosed

from odl.errors import InvalidEvent
from seldon.message import BODY_BYTES_MAX, malformed, too_large
from seldon.multipart import message_of_parts

PIECE_SECONDS_MAX = 10.0  # who does not take a piece of a stream for so long has left
BODY_SECONDS_MAX = 10.0  # a body that takes longer to arrive is given up
# A client that is refused in the middle of its body and looks for an answer only when all is sent would meet
# a broken connection instead. So much of the rest is thrown away after the answer, and for so long.
LINGER_BYTES_MAX = 64 << 20
LINGER_SECONDS_MAX = 10.0
SWEEP_SECONDS = 1.0
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

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Any:
        """Begin an answer in pieces."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


class Response(msgspec.Struct, frozen=True):
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None  # instead of a body
    rest: AsyncIterator[bytes] | None = None  # what the client may still be sending

    @staticmethod
    def json(message: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> "Response":
        """`message` as JSON."""
        return Response(msgspec.json.encode(message), status, headers=headers)


class BodyTooLarge(InvalidEvent):
    """A body beyond the cap (413), which may still be on its way."""

    def __init__(self, rest: AsyncIterator[bytes], size_bytes: int | None = None) -> None:
        told = too_large(size_bytes)
        super().__init__(str(told), status=told.status, reason=told.reason)
        self.rest = rest


class MessageReader:
    """Reads the JSON of requests: sent as body, as form field `json=` or as `?json=`, under the cap."""

    def __init__(self, body_seconds_max: float = BODY_SECONDS_MAX) -> None:
        self._seconds_max = body_seconds_max
        self._reading: dict[asyncio.Task[Any], float] = {}  # who waits for a body, and since when
        self._sweeping = False  # whether the timer runs

    async def read(self, scope: Scope, transport: Transport) -> bytes:
        """The message of one request. Raises `InvalidEvent`."""
        headers = scope.headers  # granian makes them anew each time
        kind = headers.get("content-type", "")
        body = await self._read_body(headers, transport)
        if kind.startswith(MULTIPART):
            body = message_of_parts(kind, body)
        if kind.startswith(FORM):
            body = _field(body)
        message = body or _field(scope.query_string.encode())
        if not message:
            raise malformed("expected a JSON message as body, form field json or ?json=, received none")
        return message

    async def read_body(self, scope: Scope, transport: Transport) -> bytes:
        """The body: refused (413) unread when it says that it is beyond the cap, and as soon as it goes
        beyond the cap otherwise; given up (408) when it takes too long to arrive."""
        return await self._read_body(scope.headers, transport)

    async def _read_body(self, headers: Any, transport: Transport) -> bytes:
        announced = headers.get("content-length")
        if announced is not None and int(announced) > BODY_BYTES_MAX:  # granian lets only digits through
            raise BodyTooLarge(transport.__aiter__(), int(announced))
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_SECONDS, self._give_up_slow, loop)
        self._reading[task] = loop.time()
        try:
            return await transport() if announced is not None else await _pieces(transport)
        except asyncio.CancelledError as error:
            raise InvalidEvent(
                f"expected the whole body within {self._seconds_max:g} seconds", status=408, reason="TOO_SLOW"
            ) from error
        finally:
            del self._reading[task]

    def _give_up_slow(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all bodies: a timer for each would cost a tenth of the time of a request."""
        for task, since in self._reading.items():
            if loop.time() - since > self._seconds_max:
                task.cancel()
        self._sweeping = bool(self._reading)
        if self._sweeping:
            loop.call_later(SWEEP_SECONDS, self._give_up_slow, loop)


async def _pieces(transport: Transport) -> bytes:
    pieces, body = transport.__aiter__(), bytearray()
    with suppress(StopAsyncIteration):
        while len(body) <= BODY_BYTES_MAX:
            body += await anext(pieces)
    if len(body) > BODY_BYTES_MAX:
        raise BodyTooLarge(pieces)
    return bytes(body)


async def linger(rest: AsyncIterator[bytes]) -> None:
    """Throw away what a client goes on sending after it was refused, within limits."""
    size = 0
    with suppress(StopAsyncIteration, ProtocolClosed, TimeoutError):  # all was sent, it has left, it is slow
        async with asyncio.timeout(LINGER_SECONDS_MAX):
            while size < LINGER_BYTES_MAX:
                size += len(await anext(rest))


async def send_pieces(
    transport: Transport, status: int, headers: list[tuple[str, str]], stream: AsyncGenerator[bytes, None]
) -> None:
    """Answer in pieces, until they end, the client leaves, or it stops reading."""
    sending = transport.response_stream(status, headers)
    try:
        async for piece in stream:
            await asyncio.wait_for(sending.send_bytes(piece), PIECE_SECONDS_MAX)
    except (ProtocolClosed, TimeoutError):
        pass  # the client has left
    finally:
        await stream.aclose()


def _field(text: bytes) -> bytes:
    try:
        fields = parse_qs(text, max_num_fields=16)
    except ValueError as error:
        raise malformed(f"expected a form with a field json: {error}") from error
    return fields[b"json"][0] if b"json" in fields else b""
