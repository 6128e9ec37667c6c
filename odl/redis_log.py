"""The log in Redis: a stream, its head and the positions of its sources, changed by Lua scripts only."""

import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import redis

from odl.errors import HistoryLost, LogMissing
from odl.lock import Lease, refused
from odl.log import (
    CHAIN_START,
    IDS_MAX,
    Append,
    Appended,
    Coming,
    Counters,
    Entry,
    Head,
    Outcome,
    Slice,
    full,
    superseded,
    uncovered,
)
from odl.redis_keys import RedisKeys
from odl.redis_lines import Loan
from odl.redis_remembered import RedisPredictions
from odl.redis_script import Argument, Call, RedisScript, address_of, lend, run_together, transact

PIPELINE_MAX = 1_000  # appends in one round trip: more would gain nothing
STEP_MAX = 50  # appends in one script: halves the cost of each, and holds up other clients for 0.4 ms at most
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
        predictions: RedisPredictions | None = None,
        new_log_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """`predictions`: what this log's reads take along; then only one thread may read."""
        self._client = client
        self._predictions = predictions
        self._name = name
        self._keys = keys = RedisKeys(name)
        self._ids_max = ids_max
        self._new_log_id = new_log_id
        self._log_keys = (keys.head, keys.log, keys.sources, *keys.seen)
        self._adopt = RedisScript(client, "adopt")
        self._append = RedisScript(client, "append")
        self._append_control = RedisScript(client, "append_control")
        self._claim = RedisScript(client, "claim")
        self._create = RedisScript(client, "create")
        self._limit = RedisScript(client, "limit")
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
        names = ("version", "chain", "epoch", "log_id", "fold_id")
        [fields] = transact(self._client, ("HMGET", self._keys.head, *names))
        return _head(self._present(fields[0] and fields))

    def append(self, item: Append) -> Appended:
        reply: bytes = self._present(
            self._append.run(self._log_keys, self._arguments([item]), repeatable=True)
        )
        return self._appended(reply)

    def append_many(self, items: list[Append]) -> list[Appended]:
        answers = []
        for start in range(0, len(items), PIPELINE_MAX):
            stop = min(start + PIPELINE_MAX, len(items))
            steps = [items[at : min(at + STEP_MAX, stop)] for at in range(start, stop, STEP_MAX)]
            replies = self._append.run_many(self._log_keys, [self._arguments(step) for step in steps])
            for reply in replies:
                answers += [self._appended(line) for line in self._present(reply).split(b"\n")]
        return answers

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        keys = (self._keys.head, self._keys.log, self._keys.fence, *self._keys.seen)
        seen = (expected.version, expected.chain, expected.log_id)
        arguments = (lease.token, lease.owner, payload, control_id, *seen)
        reply = self._present(self._append_control.run(keys, arguments, repeatable=True))
        if reply == b"fenced":
            raise refused(lease)
        if reply == b"superseded":
            raise superseded(expected)
        return int(reply)

    def read(self, version: int, count: int) -> Slice:
        call = Call(self._read, (self._keys.head, self._keys.log), (version, count + 1))
        along = self._predictions.pack() if self._predictions else []
        if self._predictions and along:
            answers, reply = run_together(self._client, along, call)
            self._predictions.settle(answers)
        else:
            reply = call.run()
        return self._slice(reply, version, count)

    def _begin(self, version: int, count: int) -> Coming:
        """A read without what reads take along."""
        answer, drop = self._read.begin((self._keys.head, self._keys.log), (version, count + 1))
        return Coming(lambda: self._slice(answer(), version, count), drop)

    def _slice(self, reply: Any, version: int, count: int) -> Slice:
        head, entries = _parsed(self._present(reply), version, count)
        return Slice(head, entries, self._begin)

    def lend(self) -> Loan:
        """A connection for `check_command` and `append_command`. Blocks. Raises `Unavailable`."""
        return lend(self._client)

    def check_command(self, version: int) -> bytes:
        """What to send for `checked`, by a reader at `version`: the head without the entries."""
        return self._read.packed((self._keys.head, self._keys.log), (version, 1))

    def checked(self, reply: bytes) -> Head:
        """The head of what the server replied to `check_command`."""
        return _head_of(reply.partition(b"\n")[0])

    def append_command(self, item: Append) -> bytes:
        """What to send for `appended`: the same as `append`, and as safe to repeat."""
        return self._append.packed(self._log_keys, self._arguments([item]))

    def appended(self, reply: bytes) -> Appended | None:
        """What became of the item, by what the server replied to `append_command`; None where the log is
        full: `append` says why."""
        return None if reply.startswith(b"full") else self._appended(reply)

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

    def find(self, event_ids: Sequence[str]) -> list[int | None]:
        head = ("HGET", self._keys.head, "version")
        if not event_ids:
            return []
        both = [("HMGET", seen, *event_ids) for seen in self._keys.seen]
        version, first, second = transact(self._client, head, *both)
        self._present(version)
        found = [one or other for one, other in zip(first, second, strict=True)]
        return [None if at is None else int(at) for at in found]

    def raise_epoch(self, at_least: int) -> Head:
        reply = self._raise_epoch.run((self._keys.head,), (at_least,), repeatable=True)
        return _head(self._present(reply))

    def claim(self, fold_id: str) -> Head:
        return _head(self._present(self._claim.run((self._keys.head,), (fold_id,), repeatable=True)))

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        keys, arguments = (self._keys.head, self._keys.fence), (lease.token, lease.owner, fold_id)
        reply = self._present(self._adopt.run(keys, arguments, repeatable=True))
        if reply == b"fenced":
            raise refused(lease)
        return _head(reply)

    def limit(self, version: int, why: str) -> None:
        self._present(self._limit.run((self._keys.head,), (version, why), repeatable=True))

    def fullness(self) -> float:
        [info] = transact(self._client, ("INFO", "memory"))
        return _fullness(info)

    def counters(self) -> Counters:
        names = ("duplicates", "skipped", "horizon", "control")
        [fields] = transact(self._client, ("HMGET", self._keys.head, *names))
        duplicates, skipped, horizon, control = self._present(fields[0] and fields)
        return Counters(int(duplicates), int(skipped), int(horizon), int(control or 0))

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        keys = (self._keys.head, self._keys.log, self._keys.fence, self._keys.snapshots)
        arguments = (lease.token, lease.owner, up_to_version, fold_id, TRIM_MAX)
        reply = self._present(self._trim.run(keys, arguments, repeatable=True))
        if reply == b"fenced":
            raise refused(lease)
        if reply == b"uncovered":
            raise uncovered(up_to_version)
        return int(reply)

    def _arguments(self, items: list[Append]) -> list[Argument]:
        arguments: list[Argument] = [self._ids_max]
        for item in items:
            arguments += item.payload, item.event_id, item.source, item.seq or "", item.prev or "", item.after
        return arguments

    def _appended(self, line: bytes) -> Appended:
        outcome, version, stored = line.split(b" ")
        if outcome == b"full":
            [(limit, why)] = transact(self._client, ("HMGET", self._keys.head, "limit", "limit_why"))
            raise full(int(limit or 0), (why or b"").decode())
        return Appended(
            _OUTCOMES[outcome],
            None if version == b"-" else int(version),
            None if stored == b"-" else stored.decode(),
        )

    def _present(self, reply: Any) -> Any:
        if reply is None:
            raise LogMissing(
                f"Redis at {address_of(self._client)} holds no log '{self._name}': it is new, or it was "
                "emptied; create the log if that is meant"
            )
        return reply


def _head(fields: list[bytes]) -> Head:
    version, chain, epoch, log_id, fold_id = fields
    return Head(int(version), chain.decode(), int(epoch), log_id.decode(), (fold_id or b"").decode())


def _fullness(info: dict[str, Any]) -> float:
    """Of what INFO says."""
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / limit if limit else 0.0


@lru_cache(maxsize=16)
def _head_of(line: bytes) -> Head:
    """Of the first line that `lua/read.lua` returns; most reads of an idle log return the same one."""
    return _head(line.split(b" ", 4))


def _parsed(reply: bytes, version: int, count: int) -> tuple[Head, list[Entry]]:
    """Parse what `lua/read.lua` returns."""
    head, size, rest = reply.split(b"\n", 2)
    *lines, payloads = rest.split(b"\n", int(size))
    fields = b" ".join(lines).decode().split(" ") if lines else []
    ends = list(accumulate(map(int, fields[1::3])))
    entries = [
        Entry(int(stream_id[:-2]), chain, payloads[start:end])
        for stream_id, chain, start, end in zip(fields[::3], fields[2::3], [0, *ends], ends, strict=False)
    ]
    if len(entries) > count and entries[0].version != version:
        entries.pop()  # room was left for the reader's own entry, which is gone
    return _head_of(head), entries
