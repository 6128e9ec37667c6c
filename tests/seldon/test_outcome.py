"""Results of other threads, and waking the event loop for them once."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from odl.errors import InvalidEvent
from seldon.outcome import outcome


def test_a_result_of_another_thread_is_awaited() -> None:
    future: Future[int] = Future()

    async def wait() -> int:
        asyncio.get_running_loop().run_in_executor(None, future.set_result, 3)
        return await outcome(future)

    assert asyncio.run(wait()) == 3


def test_an_error_of_another_thread_is_raised() -> None:
    future: Future[int] = Future()
    future.set_exception(InvalidEvent("no"))
    with pytest.raises(InvalidEvent, match="no"):
        asyncio.run(outcome(future))


def test_who_stops_waiting_cancels() -> None:
    future: Future[int] = Future()

    async def wait() -> None:
        task = asyncio.create_task(outcome(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(wait())
    assert future.cancelled()


def test_every_one_of_many_results_arrives_whichever_thread_brings_it() -> None:
    futures: list[Future[int]] = [Future() for _ in range(2_000)]

    def bring(remainder: int) -> None:
        for number, future in enumerate(futures):
            if number % 4 == remainder:
                future.set_result(number)

    async def wait() -> list[int]:
        waiting = asyncio.gather(*(outcome(future) for future in futures))
        await asyncio.sleep(0)
        threads = [threading.Thread(target=bring, args=(remainder,)) for remainder in range(4)]
        for thread in threads:
            thread.start()
        found = await asyncio.wait_for(waiting, 60)
        for thread in threads:
            thread.join()
        return found

    assert asyncio.run(wait()) == list(range(2_000))


def test_results_of_one_turn_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    futures: list[Future[int]] = [Future() for _ in range(10)]
    woken = []

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        waiting = asyncio.gather(*(outcome(future) for future in futures))
        await asyncio.sleep(0)
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *given: woken.append(1) or wake(*given))
        for future in futures:  # without a pause in which the loop could look
            future.set_result(0)
        await waiting

    asyncio.run(wait())
    assert len(woken) == 1
