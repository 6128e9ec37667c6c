"""Feedback in the event loop: appended to the log over a wire, not by a thread that waits for its fsync.

What the loop cannot append by itself is a thread's: while there is no connection, after a refusal, and what a
broken connection left open, which is safe to repeat.
"""

import asyncio
import time
from collections.abc import Sequence

import redis

from odl.errors import Unavailable
from odl.event import Event
from odl.feedback import DirectSink, Receipt
from odl.redis_connection import TIMEOUT_S
from odl.redis_log import RedisLog
from seldon.wire import Connect, Keeper, Receiver, Reply
from streaming.join import Known

EVENTS_MAX = 32  # of one request: the loop has others to serve
BYTES_MAX = 16 << 10  # of one request: larger ones would have to be sent in pieces
LOOK_S = 1.0  # how often somebody looks for a server that stopped answering


class Appender:
    """For the thread of the event loop."""

    def __init__(
        self, log: RedisLog, sink: DirectSink, connect: Connect, timeout_s: float = TIMEOUT_S
    ) -> None:
        """`sink`: what says how an event is appended, and what its sender is told."""
        self._log = log
        self._sink = sink
        self._keeper = Keeper(connect)
        self._timeout_s = timeout_s
        self._sent: dict[asyncio.Future[Reply], float] = {}  # appends that are under way, and since when
        self._is_watched = False  # whether the timer runs

    def takes(self, body: bytes) -> bool:
        """Whether feedback of this size may be read in the event loop."""
        return len(body) <= BYTES_MAX

    async def submit(self, events: Sequence[Event | Known]) -> list[Receipt | None]:
        """The receipts of `DirectSink.submit` for events that may enter the log; None for those that a thread
        has to submit. Raises `InvalidEvent`, `Unavailable`."""
        wire = self._keeper.wire()
        new = [event for event in events if isinstance(event, Event)]
        if wire is None or not len(new) == len(events) <= EVENTS_MAX:
            return [None] * len(events)
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[Reply]] = [loop.create_future() for _ in new]
        try:
            for event, reply in zip(new, replies, strict=True):
                self._sent[reply] = time.monotonic()
                wire.send(self._log.append_command(self._sink.item(event)), _into(reply))
            self._watch_soon()
            return [self._receipt(event, await reply) for event, reply in zip(new, replies, strict=True)]
        finally:
            for reply in replies:
                self._sent.pop(reply, None)
                reply.cancel()  # if somebody gave up waiting

    def close(self) -> None:
        """Disconnect; what was under way is for a thread."""
        self._keeper.close()

    def _receipt(self, event: Event, reply: Reply) -> Receipt | None:
        if isinstance(reply, redis.exceptions.TimeoutError):
            raise Unavailable(f"Redis did not answer in time: {reply}")
        if not isinstance(reply, bytes):
            self._keeper.rest()
            return None
        appended = self._log.appended(reply)
        return None if appended is None else self._sink.receipt(event, appended)

    def _watch_soon(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            asyncio.get_running_loop().call_later(min(LOOK_S, self._timeout_s), self._watch)

    def _watch(self) -> None:
        """One timer for all: who has waited for too long is refused, and so is everybody behind."""
        self._is_watched = False
        since = min(self._sent.values(), default=None)
        if since is None:
            return
        if time.monotonic() - since > self._timeout_s:
            for reply in self._sent:
                if not reply.done():
                    reply.set_result(redis.exceptions.TimeoutError(f"{self._timeout_s:g} seconds"))
            self._keeper.rest()
        self._watch_soon()


def _into(reply: asyncio.Future[Reply]) -> Receiver:
    def receive(told: Reply) -> None:
        if not reply.done():
            reply.set_result(told)

    return receive
