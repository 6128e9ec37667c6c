"""Bodies that never come, and results of other threads."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from odl.errors import InvalidEvent
from seldon.http import MessageReader, outcome


class Scope:
    method, path, query_string = "POST", "/predict", ""
    headers: dict[str, str] = {"content-length": "2"}


class SilentTransport:
    """A client that announced a body and sends none."""

    async def __call__(self) -> bytes:
        await asyncio.Event().wait()
        return b""


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def read() -> Any:
        return await MessageReader(body_seconds_max=0.01).read(Scope(), SilentTransport())

    with pytest.raises(InvalidEvent) as caught:
        asyncio.run(read())
    assert (caught.value.status, caught.value.reason) == (408, "TOO_SLOW")


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
