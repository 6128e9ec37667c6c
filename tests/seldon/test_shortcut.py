"""The shortcut: predictions in the event loop. Nobody joins a check under way, or waits for a hanging one."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from faulty_log import FaultyLog, append
from hash_learner import HashLearner
from redis_proxy import RedisProxy

from odl.embedded_redis import EmbeddedRedis
from odl.errors import InvalidEvent, Unavailable
from odl.log import Head
from odl.mailbox import Answer
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import Replica
from seldon import shortcut as shortcut_module
from seldon import wire as wire_module
from seldon.shortcut import Place, Shortcut
from seldon.wire import Receiver, Reply, Wire, wire_to

ROW = {"n": "row"}
LONG_S = 60.0  # for what must not be given up in a test, and for what a failing test waits


class SpokenLog(FaultyLog):
    """A log whose head a `HeldWire` reads."""

    def check_command(self, version: int) -> bytes:
        return b"check at %d" % version

    def checked(self, reply: bytes) -> Head:
        return self.heads[int(reply)]

    heads: list[Head]


class HeldWire(Wire):
    """Answers when the test says so, by the log as it is when the test says so."""

    is_open = True

    def __init__(self, log: SpokenLog) -> None:
        super().__init__()
        self.log = log
        self.sent: list[bytes] = []
        self.receivers: list[Receiver] = []

    def send(self, command: bytes, receiver: Receiver) -> None:
        self.sent.append(command)
        self.receivers.append(receiver)

    def see(self) -> bytes:
        """The server reads its head."""
        self.log.heads.append(self.log.head())
        return b"%d" % (len(self.log.heads) - 1)

    def reply(self, reply: Reply) -> None:
        self.receivers.pop(0)(reply)

    def close(self) -> None:
        self.is_open = False
        while self.receivers:
            self.reply(redis.exceptions.ConnectionError("closed"))


class Desk:
    """A replica that is at the head, and a shortcut to it over a wire that the test holds."""

    def __init__(self, patience_s: float) -> None:
        self.log = SpokenLog()
        self.log.heads = []
        self.log.create()
        self.seconds: list[float] = []
        self.connected = 0
        self.replica = Replica(HashLearner, HashLearner.from_bytes, self.log)
        self.shortcut = Shortcut(self.replica, self.log, self.connect, self.seconds.append, patience_s)  # type: ignore[arg-type]

    async def connect(self) -> Wire:
        self.connected += 1
        self.wire = HeldWire(self.log)
        return self.wire

    def take(self, min_version: int = 0, rows: int = 1) -> Place:
        place = self.shortcut.take([ROW] * rows, min_version)
        assert place is not None
        return place

    async def catch_up(self) -> None:
        """The replica's thread learns what there is."""
        await asyncio.wrap_future(self.replica.predict([ROW]))


def at_desk(scene: Callable[[Desk], Awaitable[None]], patience_s: float = LONG_S) -> None:
    """Play a scene."""

    async def play() -> None:
        desk = Desk(patience_s)
        with desk.replica:
            assert desk.shortcut.take([ROW], 0) is None, "there is no wire yet"
            await desk.catch_up()
            while not hasattr(desk, "wire"):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.wait_for(scene(desk), LONG_S)
            desk.shortcut.close()

    uvloop.run(play())


async def answered(desk: Desk, place: Place) -> Answer:
    """A thread in its turn, or what it has just learned, may be in the way: then the next check is."""
    while True:
        while not place.done():
            desk.wire.reply(desk.wire.see())
        told = place.result()
        if told is not None:
            return told
        await asyncio.sleep(0)
        place = desk.take()


def test_who_asks_at_the_head_is_answered_by_a_check() -> None:
    async def scene(desk: Desk) -> None:
        place = desk.take()
        assert desk.wire.sent == [b"check at 0"]
        desk.wire.reply(desk.wire.see())
        answer = await answered(desk, place)
        assert (answer.version, answer.epoch, answer.stale) == (0, 1, False)
        assert len(desk.seconds) == len(desk.wire.sent)

    at_desk(scene)


def test_who_comes_while_a_check_is_under_way_waits_for_the_next_one() -> None:
    async def scene(desk: Desk) -> None:
        first = desk.take()
        seen = desk.wire.see()
        append(desk.log, "a")
        second = desk.take()
        assert len(desk.wire.sent) == 1
        desk.wire.reply(seen)
        assert first.done() and len(desk.wire.sent) == 2 and not second.done()
        await desk.catch_up()
        assert (await answered(desk, second)).version == 1

    at_desk(scene)


def test_many_share_one_check() -> None:
    async def scene(desk: Desk) -> None:
        places = [desk.take() for _ in range(64)]
        for _ in range(2):
            desk.wire.reply(desk.wire.see())
        assert len(desk.wire.sent) == 2
        assert {(await answered(desk, place)).version for place in places} == {0}

    at_desk(scene)


def test_another_head_than_that_of_the_fold_is_left_to_the_thread() -> None:
    async def scene(desk: Desk) -> None:
        place = desk.take()
        desk.log.heads.append(replace(desk.log.head(), chain="another"))
        desk.wire.reply(b"%d" % (len(desk.log.heads) - 1))
        assert await place is None

    at_desk(scene)


@pytest.mark.parametrize("refusal", [None, redis.exceptions.ResponseError("NOSCRIPT")])
def test_a_refusal_is_left_to_the_thread_and_the_shortcut_rests(
    refusal: Reply,
) -> None:
    async def scene(desk: Desk) -> None:
        first, second = desk.take(), desk.take()
        desk.wire.reply(refusal)
        assert (await first, await second) == (None, None)
        assert desk.shortcut.take([ROW], 0) is None
        desk.shortcut._keeper._next_try_at = 0.0
        while desk.shortcut.take([ROW], 0) is None:
            await asyncio.sleep(0)
        assert desk.connected == 2

    at_desk(scene)


def test_a_broken_connection_hands_everybody_over() -> None:
    async def scene(desk: Desk) -> None:
        places = [desk.take() for _ in range(3)]
        desk.wire.close()
        assert [await place for place in places] == [None] * 3

    at_desk(scene)


def test_who_waits_too_long_is_handed_over_and_so_is_everybody_until_the_reply_has_come() -> None:
    async def scene(desk: Desk) -> None:
        early, later = desk.take(), desk.take()
        seen = desk.wire.see()
        assert (await early, await later) == (None, None)
        assert desk.shortcut.take([ROW], 0) is None
        desk.wire.reply(seen)
        assert desk.take() is not None, "it is there again"

    at_desk(scene, patience_s=0.001)


def test_a_reply_that_never_comes_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(desk: Desk) -> None:
        monkeypatch.setattr(shortcut_module, "LATE_S_MAX", 0.002)
        assert await desk.take() is None
        while desk.wire.is_open:
            await asyncio.sleep(0.001)

    at_desk(scene, patience_s=0.001)


def test_whoever_left_is_passed_over() -> None:
    async def scene(desk: Desk) -> None:
        gone, here = desk.take(), desk.take()
        gone.cancel()
        for _ in range(2):
            desk.wire.reply(desk.wire.see())
        assert (await answered(desk, here)).version == 0

    at_desk(scene)


def test_a_row_that_is_refused_is_told_so() -> None:
    async def scene(desk: Desk) -> None:
        while True:
            place = desk.shortcut.take([{"poison": 1}], 0)
            assert place is not None
            desk.wire.reply(desk.wire.see())
            try:
                assert await place is None  # a turn was in the way
            except InvalidEvent:
                return

    at_desk(scene)


def test_many_rows_are_for_the_thread() -> None:
    async def scene(desk: Desk) -> None:
        assert desk.shortcut.take([ROW] * (shortcut_module.ROWS_MAX + 1), 0) is None

    at_desk(scene)


def test_a_replica_that_stopped_hands_over_to_the_refusal_of_its_mailbox() -> None:
    async def scene(desk: Desk) -> None:
        place = desk.take()
        desk.replica.stop()
        desk.wire.reply(desk.wire.see())
        assert await place is None
        with pytest.raises(Unavailable, match="stopping"):
            await asyncio.wrap_future(desk.replica.predict([ROW]))

    at_desk(scene)


async def one_answer(shortcut: Shortcut, replica: Replica) -> tuple[Answer, bool]:
    """An answer, and whether it came by the shortcut."""
    place = shortcut.take([ROW], 0)
    told = None if place is None else await place
    return told or await asyncio.wrap_future(replica.predict([ROW])), told is not None


async def by_shortcut(shortcut: Shortcut, replica: Replica) -> Answer:
    while True:
        answer, is_short = await asyncio.wait_for(one_answer(shortcut, replica), LONG_S)
        if is_short:
            return answer


def on_redis(url: str, name: str, scene: Callable[..., Awaitable[None]]) -> None:
    """Play a scene with a replica of a real server and a shortcut to it."""

    async def play(log: RedisLog) -> None:
        with Replica(HashLearner, HashLearner.from_bytes, log) as replica:
            shortcut = Shortcut(replica, log, lambda: wire_to(replica, log), lambda _: None)
            await scene(shortcut, replica, log)
            shortcut.close()
            await asyncio.sleep(0)

    with closing(connect(url)) as client:
        log = RedisLog(client, name)
        log.create()
        uvloop.run(play(log))


def feed(log: Any, event_id: str) -> int:
    return append(log, event_id)


def test_on_a_real_server_every_answer_holds_what_was_acknowledged_before(
    valkey_url: str, model_name: str
) -> None:
    async def scene(shortcut: Shortcut, replica: Replica, log: RedisLog) -> None:
        for number in range(30):
            version = feed(log, f"event-{number}")
            assert (await one_answer(shortcut, replica))[0].version >= version
            assert (await by_shortcut(shortcut, replica)).version >= version
            answers = await asyncio.gather(*(one_answer(shortcut, replica) for _ in range(20)))
            assert {answer.version for answer, _ in answers} == {version}

    on_redis(valkey_url, model_name, scene)


def test_connections_that_break_are_replaced(
    valkey: EmbeddedRedis, model_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "RETRY_S", 0.01)

    async def scene(shortcut: Shortcut, replica: Replica, log: RedisLog) -> None:
        for number in range(3):
            await by_shortcut(shortcut, replica)
            proxy.lose = 2
            while proxy.lose:
                with contextlib.suppress(Unavailable):
                    await one_answer(shortcut, replica)
            assert (await by_shortcut(shortcut, replica)).version == number
            feed(log, f"event-{number}")

    with RedisProxy(valkey.port) as proxy:
        on_redis(proxy.url, model_name, scene)


def test_a_server_that_swallows_everything_does_not_hold_the_loop(tmp_path: Path) -> None:
    async def scene(shortcut: Shortcut, replica: Replica, log: RedisLog) -> None:
        await by_shortcut(shortcut, replica)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            places = [place for place in (shortcut.take([ROW], 0) for _ in range(5)) if place is not None]
            assert places
            told = await asyncio.wait_for(asyncio.gather(*places), LONG_S)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert told == [None] * len(places)
        assert (await by_shortcut(shortcut, replica)).version == 0

    with EmbeddedRedis(tmp_path / "redis") as server:
        on_redis(server.url, "held", scene)
