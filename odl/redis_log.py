"""The log in Redis: a stream, its head and the positions of its sources, changed by Lua scripts only."""

import uuid
from collections.abc import Callable
from typing import Any

import redis

from odl.errors import HistoryLost, LogMissing
from odl.lock import Lease, refused
from odl.log import (
    CHAIN_START,
    IDS_MAX,
    Append,
    Appended,
    Counters,
    Entry,
    Head,
    Outcome,
    Slice,
    uncovered,
)
from odl.redis_keys import RedisKeys
from odl.redis_script import Argument, RedisScript, address_of, transact

PIPELINE_MAX = 1_000  # appends in one round trip: more gain nothing and hold the server's reply buffer
TRIM_MAX = 10_000  # entries removed in one step: a few milliseconds in which the server does nothing else

_OUTCOMES = {outcome.value.encode(): outcome for outcome in Outcome}


class RedisLog:
    """The log `name` on the server of `client` (`odl.redis_connection.connect`: bytes, no retries).

    Every method is one script or transaction, so it is atomic, and safe to repeat: an append whose reply was
    lost is found by its position or its id and answered `DUPLICATE`.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        *,
        ids_max: int = IDS_MAX,
        new_log_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._client = client
        self._name = name
        self._keys = keys = RedisKeys(name)
        self._ids_max = ids_max
        self._new_log_id = new_log_id
        self._log_keys = (keys.head, keys.log, keys.sources, *keys.seen)
        self._append = RedisScript(client, "append")
        self._create = RedisScript(client, "create")
        self._raise_epoch = RedisScript(client, "raise_epoch")
        self._read = RedisScript(client, "read")
        self._trim = RedisScript(client, "trim")

    def create(self) -> Head:
        reply = self._create.run(self._log_keys, (self._new_log_id(), CHAIN_START), repeatable=True)
        if reply is None:
            raise HistoryLost(
                f"log '{self._name}' on Redis at {address_of(self._client)} has entries or positions but no "
                f"head: restore a backup, or delete the keys {self._keys.prefix}* to start over"
            )
        return _head(reply)

    def head(self) -> Head:
        [fields] = transact(self._client, ("HMGET", self._keys.head, "version", "chain", "epoch", "log_id"))
        return _head(self._present(fields[0] and fields))

    def append(self, item: Append) -> Appended:
        reply = self._append.run(self._log_keys, self._arguments(item), repeatable=True)
        return _appended(self._present(reply))

    def append_many(self, items: list[Append]) -> list[Appended]:
        answers = []
        for start in range(0, len(items), PIPELINE_MAX):
            batch = items[start : start + PIPELINE_MAX]
            replies = self._append.run_many(self._log_keys, [self._arguments(item) for item in batch])
            answers += [_appended(self._present(reply)) for reply in replies]
        return answers

    def read(self, version: int, count: int) -> Slice:
        keys = (self._keys.head, self._keys.log)
        reply: bytes = self._present(self._read.run(keys, (version, count + 1), repeatable=True))
        return _slice(reply, version, count)

    def position(self, source: str) -> str | None:
        head = ("HGET", self._keys.head, "version")
        version, stored = transact(self._client, head, ("HGET", self._keys.sources, source))
        self._present(version)
        return None if stored is None else stored.decode()

    def positions(self) -> dict[str, str]:
        head = ("HGET", self._keys.head, "version")
        version, stored = transact(self._client, head, ("HGETALL", self._keys.sources))
        self._present(version)
        return {source.decode(): position.decode() for source, position in stored.items()}

    def raise_epoch(self, at_least: int) -> Head:
        reply = self._raise_epoch.run((self._keys.head,), (at_least,), repeatable=True)
        return _head(self._present(reply))

    def counters(self) -> Counters:
        [fields] = transact(self._client, ("HMGET", self._keys.head, "duplicates", "skipped", "horizon"))
        duplicates, skipped, horizon = self._present(fields[0] and fields)
        return Counters(int(duplicates), int(skipped), int(horizon))

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        keys = (self._keys.head, self._keys.log, self._keys.fence, self._keys.snapshots)
        arguments = (lease.token, lease.owner, up_to_version, fold_id, TRIM_MAX)
        reply = self._present(self._trim.run(keys, arguments, repeatable=True))
        if reply == b"fenced":
            raise refused(lease)
        if reply == b"uncovered":
            raise uncovered(up_to_version)
        return int(reply)

    def _arguments(self, item: Append) -> tuple[Argument, ...]:
        return (item.payload, item.event_id, item.source, item.seq or "", item.prev or "", self._ids_max)

    def _present(self, reply: Any) -> Any:
        if reply is None:
            raise LogMissing(
                f"Redis at {address_of(self._client)} holds no log '{self._name}': it is new, or it was "
                "emptied; create the log if that is meant"
            )
        return reply


def _head(fields: list[bytes]) -> Head:
    version, chain, epoch, log_id = fields
    return Head(int(version), chain.decode(), int(epoch), log_id.decode())


def _appended(reply: list[bytes | None]) -> Appended:
    outcome, version, stored = reply
    assert outcome is not None
    return Appended(
        _OUTCOMES[outcome],
        None if version is None else int(version),
        None if stored is None else stored.decode(),
    )


def _slice(reply: bytes, version: int, count: int) -> Slice:
    """Parse what `lua/read.lua` returns."""
    first, _, rest = reply.partition(b"\n")
    *fields, size = first.split(b" ")
    lines = rest.split(b"\n", int(size))
    payloads = lines.pop()
    entries, start = [], 0
    for line in lines:
        stream_id, length, chain = line.split(b" ")
        end = start + int(length)
        entries.append(Entry(int(stream_id[:-2]), chain.decode(), payloads[start:end]))
        start = end
    if len(entries) > count and entries[0].version != version:
        entries.pop()  # room was left for the reader's own entry, which is gone
    return Slice(_head(fields), entries)
