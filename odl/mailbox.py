"""A replica's mailbox: what callers leave for the one thread that owns the learner."""

import copy
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec

from odl.errors import OdlError
from odl.event import Features, Prediction
from odl.log import Head


class Answer(msgspec.Struct, frozen=True):  # made for every request: three times as fast as a dataclass
    """Predictions of one request, all made by the same version."""

    predictions: list[Prediction]  # one per row
    version: int  # entries learned when they were made
    epoch: int
    stale: bool  # True: the newest version was out of reach and the policy allows older answers


@dataclass(eq=False, slots=True)
class Predict:
    """Somebody waits for predictions."""

    rows: list[Features]
    version_min: int  # the version that the caller must see, 0 for any
    deadline: float  # on the replica's clock
    future: "Future[Answer]" = field(default_factory=Future)
    ids: Sequence[str] = ()  # under which the rows are remembered, one each; empty: they are not
    needs: Head | None = None  # what the answer must hold: the head seen by a log read after arrival


@dataclass(eq=False, slots=True)
class Ask:
    """Somebody wants `function` called by the thread that owns the learner."""

    function: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


Request = Predict | Ask


class Mailbox:
    """Many callers, one owner. Once it is closed, every request left in it fails with the reason given."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._closed: OdlError | None = None

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, request: Request) -> None:
        """Leave a request. It fails at once if the mailbox is closed."""
        self._queue.put(request)
        if self._closed is not None:
            # Either the owner's last look came after this put, or this look finds what it missed.
            self._fail_rest(self._closed)

    def wake(self) -> None:
        """Make a waiting `take` return."""
        self._queue.put(None)

    def take(self, timeout_s: float) -> list[Request]:
        """Everything that waits, in order; waits up to `timeout_s` for the first."""
        found: list[Request] = []
        try:
            first = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            if first is not None:
                found.append(first)
            for _ in range(self._queue.qsize()):  # bounded: those who come later are for the next turn
                following = self._queue.get_nowait()
                if following is not None:
                    found.append(following)
        except queue.Empty:
            pass
        return found

    def close(self, reason: OdlError) -> None:
        """Refuse everything from now on, and all that still waits."""
        self._closed = reason
        self._fail_rest(reason)

    def open(self) -> None:
        """Accept requests (again)."""
        self._closed = None

    def _fail_rest(self, reason: OdlError) -> None:
        for request in self.take(timeout_s=0):
            fail(request, reason)


def fail(request: Request, reason: OdlError) -> None:
    """Fail one request, unless its caller gave up."""
    if request.future.set_running_or_notify_cancel():
        request.future.set_exception(copy.copy(reason))  # raising adds to its traceback, so each has its own
