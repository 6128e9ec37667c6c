"""Bodies that never come."""

import asyncio
from typing import Any

import pytest

from odl.errors import InvalidEvent
from seldon.http import MessageReader


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
