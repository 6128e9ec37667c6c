"""Results of the replica's thread, awaited in the server's event loop."""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Bell:
    """Wakes an event loop once for all futures that are done when it looks: a turn of the replica answers
    everybody who waits, and a system call for each of them would let another thread in each time."""

    def __init__(self) -> None:
        self._done: deque[asyncio.Future[None]] = deque()
        self._is_rung = False

    def ring(self, waiter: asyncio.Future[None]) -> None:
        """Release `waiter`. For any thread."""
        self._done.append(waiter)
        if not self._is_rung:
            self._is_rung = True
            waiter.get_loop().call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._is_rung = False  # first, so that whoever comes from now on rings again
        while self._done:
            waiter = self._done.popleft()
            if not waiter.done():
                waiter.set_result(None)


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


async def outcome(future: Future[T]) -> T:
    """The result of another thread's future; `asyncio.wrap_future` at a fraction of its cost."""
    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _Bell()
    waiter = loop.create_future()
    future.add_done_callback(lambda _: bell.ring(waiter))
    try:
        await waiter
    except asyncio.CancelledError:
        future.cancel()
        raise
    return future.result()
