"""The shortcut of a prediction: head check and prediction on the thread of the event loop.

A replica's own thread reads the head, learns and answers; a request that goes there and back wakes two
threads, which costs more time than all the rest of it. Most requests find nothing to learn. For them the
event loop reads the head without waiting, over a connection of its own, and has the replica predict at that
head (`Replica.answer_at`). Whatever is not as expected goes to the replica's thread, as a request that
arrives then: something to learn, another history, an error, a server that takes its time.

One check is under way at a time. Who comes meanwhile waits for the next one, since a check answers only who
was there before it began; so many requests share few checks.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeAlias

from odl.actor import Asked
from odl.event import Features
from odl.mailbox import Answer
from odl.redis_log import RedisLog
from odl.replica import Replica
from seldon.wire import Connect, Keeper, Reply, Wire

PATIENCE_S = 0.005  # a check that takes longer is left to the replica's thread, with all who wait for it
LATE_S_MAX = 5.0  # a connection that owes its reply for so long is given up
ROWS_MAX = 32  # half a millisecond of 20 layers of 100 units: so long do others wait
WAITING_MAX = 1024

Place: TypeAlias = asyncio.Future[Answer | None]
Waiting: TypeAlias = list[tuple[Asked, Place]]

logger = logging.getLogger(__name__)


class Shortcut:
    """For the thread of the event loop, but for `__init__`."""

    def __init__(
        self,
        replica: Replica,
        log: RedisLog,
        connect: Connect,
        observe: Callable[[float], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`log`: whose head is read; `connect`: makes a wire to its server, None if that cannot be;
        `observe`: told how many seconds each check took."""
        self._replica = replica
        self._log = log
        self._keeper = Keeper(connect)
        self._observe = observe
        self._patience_s = patience_s
        self._waiting: Waiting = []  # for the check under way
        self._next: Waiting = []  # for the one after it
        self._checking = False  # a check is under way, or its reply is owed
        self._late = False  # nobody waits for that reply any more
        self._began = 0.0  # when it was sent
        self._is_watched = False  # whether the timer runs
        self._command = (-1, b"")  # a version, and what to send at that version

    def take(self, rows: list[Features], version_min: int) -> Place | None:
        """Where the answer will be, or None when the replica's thread has to be asked instead; None at once
        where that is known already."""
        wire = self._keeper.wire()
        if wire is None or self._late or len(rows) > ROWS_MAX or len(self._next) >= WAITING_MAX:
            return None
        place: Place = asyncio.get_running_loop().create_future()
        self._next.append(((rows, version_min), place))
        if not self._checking:
            self._check(wire)
        return place

    def close(self) -> None:
        """Hand over who waits, and disconnect."""
        self._keeper.close()

    def _check(self, wire: Wire | None) -> None:
        self._waiting, self._next = self._next, []
        if wire is None:
            _hand_over(self._waiting)
            return
        version = self._replica.version
        if self._command[0] != version:
            self._command = version, self._log.check_command(version)
        self._began = time.monotonic()
        self._checking = True
        if not self._is_watched:
            self._is_watched = True
            asyncio.get_running_loop().call_later(self._patience_s, self._watch)
        wire.send(self._command[1], self._replied)

    def _replied(self, reply: Reply) -> None:
        (waiting, self._waiting), began = (self._waiting, []), self._began
        self._checking = self._late = False
        try:
            if not isinstance(reply, bytes):
                self._give_up(reply)
                return
            self._observe(time.monotonic() - began)
            if self._next:
                self._check(self._keeper.wire())  # travels while those before it are answered
            if waiting:
                head, asked = self._log.checked(reply), [asked for asked, _ in waiting]
                told = self._replica.answer_at(head, asked, began)
                for (_, place), each in zip(waiting, told, strict=True):
                    _tell(place, each)
        finally:
            _hand_over(waiting)  # who was not answered

    def _give_up(self, reply: Reply) -> None:
        """No log, a refusal, or no connection: it is for the replica's thread to say what that means."""
        logger.debug("the event loop stops checking the head for a while: %s", reply)
        self._keeper.rest()
        self._command = (-1, b"")  # a refusal may mean that it has to be another one
        _hand_over(self._next)
        self._next = []

    def _watch(self) -> None:
        """One timer for all checks."""
        self._is_watched = self._checking
        if not self._checking:
            return
        age_s = time.monotonic() - self._began
        if age_s > LATE_S_MAX:
            self._keeper.rest()
        elif age_s > self._patience_s and not self._late:
            self._late = True
            _hand_over(self._waiting)
            _hand_over(self._next)
            self._waiting, self._next = [], []
        asyncio.get_running_loop().call_later(self._patience_s, self._watch)


def _tell(place: Place, told: Answer | Exception | None) -> None:
    if place.done():  # its sender has left
        return
    if isinstance(told, Exception):
        place.set_exception(told)
    else:
        place.set_result(told)


def _hand_over(waiting: Waiting) -> None:
    for _, place in waiting:
        _tell(place, None)
