"""Feedback in the event loop: the same receipts as by a thread, and what is in doubt is left to one."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
import redis
import uvloop
from hash_learner import HashLearner

from odl.errors import InvalidEvent, Unavailable
from odl.event import Event
from odl.feedback import DirectSink, Receipt
from odl.log import Outcome
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import Replica
from seldon import wire as wire_module
from seldon.appender import BYTES_MAX, EVENTS_MAX, Appender
from seldon.wire import Receiver, Reply, Wire, wire_to
from streaming.join import Known

LONG_S = 60.0


def event(event_id: str, **changes: Any) -> Event:
    return Event(**{"id": event_id, "x": {"n": event_id}, "y": "yes", "source": "rest:test"} | changes)


class HeldWire(Wire):
    """Replies when the test says so."""

    is_open = True

    def __init__(self) -> None:
        super().__init__()
        self.receivers: list[Receiver] = []

    def send(self, command: bytes, receiver: Receiver) -> None:
        self.receivers.append(receiver)

    async def reply(self, *replies: Reply) -> None:
        while len(self.receivers) < len(replies):
            await asyncio.sleep(0)
        for each in replies:
            self.receivers.pop(0)(each)

    def close(self) -> None:
        self.is_open = False


def play(scene: Callable[[Appender, HeldWire], Awaitable[None]], timeout_s: float = LONG_S) -> None:
    """A scene with a wire that the test holds; the log is never reached."""

    async def run() -> None:
        wire = HeldWire()

        async def make() -> Wire:
            return wire

        with closing(connect("redis://127.0.0.1:1/0")) as client:
            log = RedisLog(client, "held")
            appender = Appender(log, DirectSink(log, "direct"), make, timeout_s)
            assert await appender.submit([event("first")]) == [None], "there is no wire yet"
            await asyncio.sleep(0)
            await asyncio.wait_for(scene(appender, wire), LONG_S)
            assert not appender._sent
            appender.close()

    uvloop.run(run())


def test_every_row_has_a_receipt_of_its_own() -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        task = asyncio.create_task(appender.submit([event("a"), event("b")]))
        await wire.reply(b"accepted 7 -", b"duplicate 3 -")
        assert await task == [
            Receipt(Outcome.ACCEPTED, 7, "direct"),
            Receipt(Outcome.DUPLICATE, 3, "direct"),
        ]

    play(scene)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        redis.exceptions.ResponseError("NOSCRIPT"),
        redis.exceptions.ConnectionError("broken"),
        b"full - -",
    ],
)
def test_what_is_in_doubt_is_left_to_a_thread(reply: Reply) -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        task = asyncio.create_task(appender.submit([event("a"), event("b")]))
        await wire.reply(b"accepted 7 -", reply)
        first, second = await task
        assert first == Receipt(Outcome.ACCEPTED, 7, "direct") and second is None

    play(scene)


def test_an_event_older_than_the_ids_is_refused() -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        task = asyncio.create_task(appender.submit([event("a", version=3)]))
        await wire.reply(b"expired - -")
        with pytest.raises(InvalidEvent) as caught:
            await task
        assert caught.value.status == 410

    play(scene)


def test_a_server_that_does_not_answer_is_told_in_time_and_not_asked_again() -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        tasks = [asyncio.create_task(appender.submit([event(each)])) for each in "abc"]
        for task in tasks:
            with pytest.raises(Unavailable, match="did not answer in time"):
                await task
        assert not wire.is_open
        assert await appender.submit([event("d")]) == [None]

    play(scene, timeout_s=0.001)


def test_who_gives_up_leaves_nothing_behind() -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        task = asyncio.create_task(appender.submit([event("a")]))
        while not wire.receivers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await wire.reply(b"accepted 7 -")

    play(scene)


def test_large_requests_and_known_events_are_for_a_thread() -> None:
    async def scene(appender: Appender, wire: HeldWire) -> None:
        many = [event(str(number)) for number in range(EVENTS_MAX + 1)]
        assert await appender.submit(many) == [None] * len(many)
        assert await appender.submit([event("a"), Known(3)]) == [None, None]
        assert appender.takes(bytes(BYTES_MAX)) and not appender.takes(bytes(BYTES_MAX + 1))

    play(scene)


def test_on_a_real_server_events_enter_once_whoever_appends_them(
    valkey_url: str, model_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "RETRY_S", 0.01)

    async def submit(appender: Appender, sink: DirectSink, each: Event) -> tuple[Receipt, bool]:
        [receipt] = await appender.submit([each])
        return receipt or sink.submit(each), receipt is not None

    async def scene(log: RedisLog, replica: Replica) -> None:
        sink = DirectSink(log, "direct")
        appender = Appender(log, sink, lambda: wire_to(replica, log))
        while not (await submit(appender, sink, event("warm")))[1]:
            await asyncio.sleep(0.001)
        found = await asyncio.gather(*(submit(appender, sink, event(f"e-{n % 40}")) for n in range(80)))
        assert all(in_loop for _, in_loop in found)
        versions = [receipt.version for receipt, _ in found]
        assert versions[:40] == versions[40:] == list(range(2, 42))
        outcomes = [receipt.outcome for receipt, _ in found]
        assert outcomes == [Outcome.ACCEPTED] * 40 + [Outcome.DUPLICATE] * 40
        assert replica.predict([]).result(LONG_S).version == 41
        appender.close()
        await asyncio.sleep(0)

    with closing(connect(valkey_url)) as client:
        log = RedisLog(client, model_name)
        log.create()
        with Replica(HashLearner, HashLearner.from_bytes, log) as replica:
            uvloop.run(scene(log, replica))
