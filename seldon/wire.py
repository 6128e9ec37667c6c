"""A connection to Redis in the event loop: commands are sent at once, their replies come in the same order.

redis-py's own client for asyncio costs several times what a whole prediction does. What is sent here are two
scripts (`RedisLog.check_command`, `append_command`), so all that has to be read is a string, nil or an error.

>>> told = []
>>> wire = Wire()
>>> for _ in range(3):
...     wire._receivers.append(told.append)
>>> wire.data_received(b"$5\\r\\nhel")
>>> wire.data_received(b"lo\\r\\n$-1\\r\\n-NOSCRIPT No matching script\\r\\n")
>>> told
[b'hello', None, server:ResponseError]
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import redis

from odl.errors import Unavailable
from odl.redis_lines import Loan
from odl.redis_log import RedisLog
from odl.replica import Replica
from seldon.outcome import outcome

Reply: TypeAlias = bytes | None | redis.exceptions.RedisError
Receiver: TypeAlias = Callable[[Reply], None]
Connect: TypeAlias = Callable[[], Awaitable["Wire | None"]]

RETRY_S = 1.0  # between two attempts to have a connection, and after a refusal

logger = logging.getLogger(__name__)
_PLAIN = (ord("$"), ord("-"))  # a string (or nil), an error


class Wire(asyncio.Protocol):
    """One connection. For the thread of the event loop."""

    def __init__(self, loan: Loan | None = None) -> None:
        """`loan`: what is given back when the connection ends."""
        self._transport: asyncio.Transport | None = None
        self._receivers: deque[Receiver] = deque()
        self._buffer = b""  # a reply that has arrived in part
        self._loan = loan

    @property
    def is_open(self) -> bool:
        """Whether commands may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, command: bytes, receiver: Receiver) -> None:
        """Send a command, packed. `receiver` is called once, maybe at once: with the reply, or with an error
        of redis-py's when the server refused or the connection broke."""
        if self._transport is None:
            receiver(_broken())
            return
        self._receivers.append(receiver)
        self._transport.write(command)

    def close(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._loan is not None:
            self._loan.close()
        while self._receivers:
            self._receivers.popleft()(_broken())

    def data_received(self, data: bytes) -> None:
        data, at = self._buffer + data, 0
        while at < len(data):
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            if not self._receivers or data[at] not in _PLAIN:
                self.close()  # nobody asked, or for something else: who knows what comes next
                return
            reply: Reply = None
            if data[at] == _PLAIN[1]:
                reply = redis.exceptions.ResponseError(data[at + 1 : end].decode(errors="replace"))
            elif data[at + 1] != ord("-"):  # nil has the size -1
                stop = end + 2 + int(data[at + 1 : end])
                if len(data) < stop + 2:
                    break
                reply, end = data[end + 2 : stop], stop
            at = end + 2
            self._receivers.popleft()(reply)
        self._buffer = data[at:]


class Keeper:
    """Has a wire at hand, and a new one some time after it broke. For the thread of the event loop."""

    def __init__(self, connect: Connect) -> None:
        """`connect`: makes a wire, or None if that cannot be."""
        self._connect = connect
        self._wire: Wire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._next_try_at = 0.0  # not before that

    def wire(self) -> Wire | None:
        """An open wire; None while there is none, which asks for one."""
        if self._wire is not None and self._wire.is_open:
            return self._wire
        if self._opening is None and time.monotonic() >= self._next_try_at:
            self._next_try_at = time.monotonic() + RETRY_S
            self._opening = asyncio.get_running_loop().create_task(self._open())
        return None

    def rest(self) -> None:
        """Break the wire, and make none for a while: what it was asked for was refused."""
        self._next_try_at = max(self._next_try_at, time.monotonic() + RETRY_S)
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def close(self) -> None:
        """Break the wire for good."""
        self._next_try_at = math.inf
        if self._opening is not None:
            self._opening.cancel()
        self.rest()

    async def _open(self) -> None:
        try:
            self._wire = await self._connect()
            if self._wire is None:
                self._next_try_at = math.inf
        except (Unavailable, OSError) as error:
            logger.debug("no connection to Redis for the event loop: %s", error)
        finally:
            self._opening = None


async def wire_to(replica: Replica, log: RedisLog) -> Wire | None:
    """A wire to the server of `log`; None if that cannot be, since what travels is encrypted. It is the
    replica's thread that connects: it may wait for a server, and has just heard of this one. Raises
    `Unavailable`, `OSError`."""
    loan = await outcome(replica.ask(lambda _: log.lend()))
    own = loan.socket()
    if own is None:
        loan.close()
        return None
    own.setblocking(False)
    _, wire = await asyncio.get_running_loop().create_connection(lambda: Wire(loan), sock=own)
    return wire


def _broken() -> redis.exceptions.ConnectionError:
    return redis.exceptions.ConnectionError("the connection is closed")
