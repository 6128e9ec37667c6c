"""R7, R8: snapshots and log entries damaged in Redis; every damage is found, none is learned."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import redis
from hash_learner import HashLearner

from fire.redis_server import RedisServer
from odl.errors import DamagedSnapshot, HistoryLost
from odl.event import Event, encode
from odl.follower import Follower
from odl.log import Append
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.snapshotter import capture, describe

NAME = "fire"
KEYS = RedisKeys(NAME)
EVENTS = 60  # in the log; snapshots at 20, 40 and 60
BATCH = 50


@dataclass(frozen=True)
class Parts:
    """A log with snapshots, and what an undamaged fold of it comes to."""

    client: redis.Redis
    log: RedisLog
    snapshots: RedisSnapshots
    digest: str


@contextmanager
def _parts(directory: Path) -> Iterator[Parts]:
    server = RedisServer(directory / "redis", appendfsync="no")
    try:
        log, snapshots = RedisLog(server.client, NAME), RedisSnapshots(server.client, NAME)
        lock = RedisLock(server.client, NAME)
        log.create()
        saver = Follower(HashLearner, HashLearner.from_bytes, log, snapshots)
        for number in range(1, EVENTS + 1):
            log.append(
                Append(encode(Event(id=f"e-{number}", x={"n": number}, y="yes")), f"e-{number}", "rest:a")
            )
            if number % 20 == 0:
                saver.step(BATCH)
                saver.step(BATCH)
                lease = lock.acquire("saver", 30_000)
                assert lease is not None
                captured = capture(saver)
                snapshots.save(describe(captured, HashLearner.from_bytes), captured.data, lease)
                lock.release(lease)
        yield Parts(server.client, log, snapshots, saver.fold.learner.digest())
    finally:
        server.stop()


def snapshots(seed: int, directory: Path, *, count: int = 2_000) -> Counter[str]:
    """R7: the newest snapshot's bytes flipped, truncated or mixed with another's; a replica that starts then
    begins with the previous one and comes to the same digest. Every byte of a small one has its turn."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with _parts(directory) as parts:
        newest, previous, _ = parts.snapshots.list()
        blobs = [_blob(parts, version) for version in (newest.version, previous.version)]
        good, other = (parts.client.hget(blob, "0") for blob in blobs)
        for number in range(count):
            kind = ("flipped", "flipped", "truncated", "swapped")[number % 4]
            damaged = _damage(kind, good, other, number, chance)
            parts.client.hset(blobs[0], "0", damaged)
            with pytest.raises(DamagedSnapshot):
                parts.snapshots.load(newest)
            follower = Follower(HashLearner, HashLearner.from_bytes, parts.log, parts.snapshots)
            follower.step(0)
            assert follower.fold.version == previous.version, f"{kind}: began at {follower.fold.version}"
            follower.step(BATCH)
            assert follower.fold.learner.digest() == parts.digest, f"{kind}: another digest"
            landed[f"snapshot {kind}"] += 1
        parts.client.hset(blobs[0], "0", good)
        follower = Follower(HashLearner, HashLearner.from_bytes, parts.log, parts.snapshots)
        follower.step(0)
        assert follower.fold.version == newest.version, "whole again, it is used"
    landed["damages"] = count
    return landed


def _blob(parts: Parts, version: int) -> str:
    records = [msgspec.json.decode(each) for each in parts.client.zrange(KEYS.snapshots, 0, -1)]
    [found] = [each["blob"] for each in records if each["snapshot"]["version"] == version]
    return KEYS.blob(found)


def _damage(kind: str, good: bytes, other: bytes, number: int, chance: random.Random) -> bytes:
    if kind == "flipped":
        at = number // 2 % len(good)
        return good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :]
    if kind == "truncated":
        return good[: chance.randrange(len(good))]
    mixed = other[: chance.randrange(1, len(other) + 1)]  # as of two writers who shared a key
    mixed += good[len(mixed) :]
    return other if mixed == good else mixed


ENTRY_KINDS = ("payload", "chain", "missing", "swapped", "doubled")


def entries(seed: int, directory: Path, *, count: int = 500) -> Counter[str]:
    """R8: one entry of the log changed, missing, or in another's place; a replica that folds the log stops at
    exactly that version with the reason, and goes on once the log is restored."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with _parts(directory) as parts:
        client = parts.client
        whole = [(stream_id, dict(fields)) for stream_id, fields in client.xrange(KEYS.log)]
        for number in range(count):
            kind = ENTRY_KINDS[number % len(ENTRY_KINDS)]
            at = chance.randrange(1, EVENTS - 1)  # index of the entry; version at + 1
            _store(client, _damaged(kind, whole, at, chance))
            follower = Follower(HashLearner, HashLearner.from_bytes, parts.log, None)
            with pytest.raises(HistoryLost) as told:
                for _ in range(EVENTS):
                    follower.step(BATCH)
            assert follower.fold.version == at, f"{kind} at {at + 1}: learned {follower.fold.version}"
            assert str(at + 1) in str(told.value) or str(at) in str(told.value), told.value
            _store(client, whole)
            while follower.fold.version < EVENTS:
                follower.step(BATCH)
            assert follower.fold.learner.digest() == parts.digest, f"{kind}: another digest"
            landed[f"entry {kind}"] += 1
    landed["damages"] = count
    return landed


Stored = list[tuple[bytes, dict[bytes, bytes]]]


def _store(client: redis.Redis, stored: Stored) -> None:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.delete(KEYS.log)
        for stream_id, fields in stored:
            pipeline.xadd(KEYS.log, fields, id=stream_id)
        pipeline.execute()


def _damaged(kind: str, whole: Stored, at: int, chance: random.Random) -> Stored:
    stream_id, fields = whole[at]
    if kind == "missing":
        return whole[:at] + whole[at + 1 :]
    if kind in ("payload", "chain"):
        name = kind[0].encode()
        place = chance.randrange(len(fields[name]))
        byte = bytes([fields[name][place] ^ 1])
        changed = fields[name][:place] + byte + fields[name][place + 1 :]
        return [*whole[:at], (stream_id, {**fields, name: changed}), *whole[at + 1 :]]
    if kind == "swapped":
        following, others = whole[at + 1]
        return [*whole[:at], (stream_id, others), (following, fields), *whole[at + 2 :]]
    return [*whole[:at], (stream_id, whole[at - 1][1]), *whole[at + 1 :]]
