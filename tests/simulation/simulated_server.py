"""The log's server: what can happen to it, and the connections of processes to it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from odl.errors import LogFull, Unavailable
from odl.lock import Lease
from odl.log import CHAIN_START, Append, Appended, Counters, Head, Outcome, Slice
from odl.memory import MemoryLog, MemorySnapshots, _State
from odl.snapshots import Snapshot

if TYPE_CHECKING:
    from history import History
    from world import World

T = TypeVar("T")


class Crashed(BaseException):
    """The process that made a call is gone. No `except Exception` may hold it up."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a server comes back with after it lost the rest."""

    state: _State
    snapshots: dict[Snapshot, bytes]


class Server(MemoryLog):
    """Log and snapshots, kept by one server, which tells `history` of every change."""

    def __init__(self, snapshots: MemorySnapshots, history: "History", ids_max: int) -> None:
        numbers = itertools.count(1)
        super().__init__(snapshots, ids_max=ids_max, new_log_id=lambda: f"log-{next(numbers)}")
        self._history = history

    @property
    def head_now(self) -> Head | None:
        """The head, for those who see everything; None while there is no log."""
        return self._state.head if self._state else None

    def create(self) -> Head:
        is_new = self._state is None
        head = super().create()
        if is_new:
            self._history.heads.append(head)
        return head

    share = 0.0  # of its memory that is in use

    @property
    def is_full(self) -> bool:
        """Whether it takes no entry at the moment."""
        limit = self._state.limit if self._state else None
        return self._state is not None and limit is not None and self._state.head.version >= limit[0]

    def fullness(self) -> float:
        return self.share

    def limit(self, version: int, why: str) -> None:
        super().limit(version, why)
        self._history.limit = version

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        head = super().adopt(fold_id, lease)
        self._history.heads.append(head)
        return head

    def append(self, item: Append) -> Appended:
        before = self._here().head
        appended = super().append(item)
        if appended.outcome is Outcome.ACCEPTED and item.payload:
            self._history.entered(before, self._here().head, item.payload)
        return appended

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        before = self._here().head
        version = super().append_control(payload, control_id, expected, lease)
        if self._here().head.version > before.version:
            self._history.entered(before, self._here().head, payload)
        return version

    def backup(self) -> Backup:
        """Everything stored now."""
        return Backup(_copy(self._here()), dict(self._snapshots._stored))

    def restore(self, backup: Backup, *, keep_snapshots: bool = False) -> int:
        """Come back with less; how many entries were lost. Snapshots of what was lost may still be there."""
        lost = self._here().head.version - backup.state.head.version
        self._state = _copy(backup.state)
        kept = self._snapshots._stored if keep_snapshots else {}
        self._snapshots._stored = {**backup.snapshots, **kept}
        self._history.limit = self._state.limit[0] if self._state.limit else None
        self._history.heads.append(self._state.head)
        return lost

    def flush(self) -> None:
        """FLUSHALL. The lock's fence stays: tokens that repeat are a matter of the lock's own tests."""
        self._state = self._history.limit = None
        self._snapshots._stored = {}
        self._history.heads.append(Head(0, CHAIN_START, 0, ""))


def _copy(state: _State) -> _State:
    return replace(
        state,
        entries=dict(state.entries),
        positions=dict(state.positions),
        ids=dict(state.ids),
        older_ids=dict(state.older_ids),
    )


class Wire:
    """One process's connection to the log: a `Log` whose every call is a moment at which the world goes on,
    and may fail before or after the server has done it, happen twice, or be the process's last."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def _call(self, name: str, call: Callable[[], T]) -> T:
        world = self._world
        world.go_on()
        fault = world.next_fault()
        if fault in ("away", "request lost", "crash before"):
            world.landed(fault, name)
            raise Crashed if fault == "crash before" else Unavailable(fault)
        try:
            result = call()
        except LogFull:
            world.landed("full", name)
            raise
        if fault == "late twin":
            world.late.append((name, call))
        elif fault == "done twice":
            world.landed(fault, name)
            result = call()
        world.go_on()
        if fault in ("reply lost", "crash after"):
            world.landed(fault, name)
            raise Crashed if fault == "crash after" else Unavailable(fault)
        return result

    def create(self) -> Head:
        return self._call("create", self._world.server.create)

    def head(self) -> Head:
        return self._call("head", self._world.server.head)

    def append(self, item: Append) -> Appended:
        return self.append_many([item])[0]

    def append_many(self, items: list[Append]) -> list[Appended]:
        """Each append is atomic, a pipeline of them is not."""
        cut = self._world.dice.randrange(len(items) + 1)
        server = self._world.server
        answers = []
        for part in (items[:cut], items[cut:]):
            if part:
                answers += self._call("append", lambda part=part: server.append_many(part))  # type: ignore[misc]
        for item, answer in zip(items, answers, strict=True):
            if answer.outcome is not Outcome.ACCEPTED:
                self._world.landed(answer.outcome.value, item.source)
        return answers

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        def append() -> int:
            return self._world.server.append_control(payload, control_id, expected, lease)

        version = self._call("append_control", append)
        self._world.history.check_decision(expected, version)
        return version

    def counters(self) -> Counters:
        return self._call("counters", self._world.server.counters)

    def read(self, version: int, count: int) -> Slice:
        return self._call("read", lambda: self._world.server.read(version, count))

    def positions(self) -> dict[str, str]:
        return self._call("positions", self._world.server.positions)

    def raise_epoch(self, at_least: int) -> Head:
        return self._call("raise_epoch", lambda: self._world.server.raise_epoch(at_least))

    def limit(self, version: int, why: str) -> None:
        self._call("limit", lambda: self._world.server.limit(version, why))

    def fullness(self) -> float:
        return self._call("fullness", self._world.server.fullness)

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        def adopt() -> Head:
            head = self._world.server.adopt(fold_id, lease)
            self._world.history.check_write("a hand-over", lease)
            return head

        return self._call("adopt", adopt)

    def claim(self, fold_id: str) -> Head:
        return self._call("claim", lambda: self._world.server.claim(fold_id))

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        def trim() -> int:
            removed = self._world.server.trim(up_to_version, fold_id, lease)
            self._world.history.check_write("a trim", lease)
            return removed

        return self._call("trim", trim)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no process of this world calls {name} of a log")


class SnapshotWire:
    """One process's connection to the snapshots; between taking the lock and writing it may be paused for
    longer than its lease, and bytes may be damaged on their way."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        world = self._world
        if world.faulty and world.dice.random() < 0.3:
            world.landed("holder paused", f"lease {lease.token}")
            world.pass_time(40.0)
            for _ in range(2):
                world.go_on(1.0)
        if world.faulty and world.dice.random() < 0.1:
            world.landed("snapshot damaged", f"version {snapshot.version}")
            data = data[:-1] + bytes([data[-1] ^ 1])
        # The record's date is the only thing in it that another run of the seed would not repeat.
        world.snapshots.save(replace(snapshot, created_ms=int(world.now * 1000)), data, lease)
        world.history.check_write("a snapshot", lease)
        world.say("snapshot of version %s under lease %s", snapshot.version, lease.token)

    def list(self) -> list[Snapshot]:
        self._world.go_on()
        return self._world.snapshots.list()

    def drop(self, snapshot: Snapshot, lease: Lease) -> None:
        self._world.go_on()
        self._world.snapshots.drop(snapshot, lease)

    def load(self, snapshot: Snapshot) -> bytes:
        self._world.go_on()
        return self._world.snapshots.load(snapshot)
