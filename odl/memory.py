"""The log in this process's memory, beside its lock and snapshots: what the contract of all three means.

>>> log = MemoryLog()
>>> log.create().version
0
>>> log.append(Append(b'{"y":1}', event_id="f-1", source="rest:demo"))
Appended(outcome=<Outcome.ACCEPTED: 'accepted'>, version=1, stored=None)
>>> log.append(Append(b'{"y":1}', event_id="f-1", source="rest:demo")).outcome
<Outcome.DUPLICATE: 'duplicate'>
>>> log.read(version=0, count=10).entries[0].payload
b'{"y":1}'
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock

from odl.errors import LogMissing
from odl.lock import Lease
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
    full,
    next_chain,
    superseded,
    uncovered,
)
from odl.memory_lock import MemoryLock
from odl.memory_snapshots import MemorySnapshots
from odl.snapshots import Snapshot

__all__ = ["MemoryLock", "MemoryLog", "MemorySnapshots"]


@dataclass(slots=True)
class _State:
    """Everything a log holds; a copy of it is a log that was rewound."""

    head: Head
    entries: dict[int, Entry] = field(default_factory=dict)  # version -> entry, ascending
    positions: dict[str, str] = field(default_factory=dict)  # source -> seq
    ids: dict[str, int] = field(default_factory=dict)  # event id -> version, the current generation
    ids_from: int = 1  # version at which the current generation begins
    older_ids: dict[str, int] = field(default_factory=dict)  # the generation before
    counters: Counters = Counters(duplicates=0, skipped=0)
    limit: tuple[int, str] | None = None  # no entries after that version, and why


class MemoryLog:
    """A `Log` in memory, thread-safe."""

    def __init__(
        self,
        snapshots: MemorySnapshots | None = None,
        *,
        ids_max: int = IDS_MAX,
        new_log_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._mutex = RLock()
        self._snapshots = snapshots or MemorySnapshots(MemoryLock())
        self._snapshots.log = self
        self._ids_max = ids_max
        self._new_log_id = new_log_id
        self._state: _State | None = None

    def create(self) -> Head:
        with self._mutex:
            if self._state is None:
                self._state = _State(Head(version=0, chain=CHAIN_START, epoch=1, log_id=self._new_log_id()))
            return self._state.head

    def head(self) -> Head:
        with self._mutex:
            return self._here().head

    def append(self, item: Append) -> Appended:
        with self._mutex:
            state = self._here()
            stored = None
            if item.seq is not None:
                stored = state.positions.get(item.source)
                if stored is not None and int(item.seq) <= int(stored):
                    return self._duplicate(state, item, stored)
                if item.prev != stored:
                    return Appended(Outcome.GAP, None, stored)
            is_known = item.event_id in state.ids or item.event_id in state.older_ids
            if item.payload and not is_known:
                if item.after > 0 and item.after + 1 < state.counters.horizon:
                    return Appended(Outcome.EXPIRED, None, stored)
                if state.limit is not None and state.head.version >= state.limit[0]:
                    raise full(*state.limit)
            if item.seq is not None:
                state.positions[item.source] = stored = item.seq
            if not item.payload:
                state.counters = replace(state.counters, skipped=state.counters.skipped + 1)
                return Appended(Outcome.ACCEPTED, None, stored)
            return self._duplicate(state, item, stored) if is_known else self._enter(state, item, stored)

    def _duplicate(self, state: _State, item: Append, stored: str | None) -> Appended:
        if item.payload:
            state.counters = replace(state.counters, duplicates=state.counters.duplicates + 1)
        first = state.ids.get(item.event_id, state.older_ids.get(item.event_id))
        return Appended(Outcome.DUPLICATE, first, stored)

    def _enter(self, state: _State, item: Append, stored: str | None) -> Appended:
        version, chain = state.head.version + 1, next_chain(state.head.chain, item.payload)
        if len(state.ids) >= self._ids_max:
            state.counters = replace(state.counters, horizon=state.ids_from)
            state.ids, state.older_ids, state.ids_from = {}, state.ids, version
        state.ids[item.event_id] = version
        state.entries[version] = Entry(version, chain, item.payload)
        state.head = replace(state.head, version=version, chain=chain)
        return Appended(Outcome.ACCEPTED, version, stored)

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        with self._mutex, self._snapshots.lock.mutex:
            state = self._here()
            first = state.ids.get(control_id, state.older_ids.get(control_id))
            if first is not None:
                return first
            self._snapshots.lock.check(lease)
            head, at = state.head, expected.version
            chain = (
                head.chain if at == head.version else state.entries[at].chain if at in state.entries else ""
            )
            is_passed = chain == expected.chain or (at == 0 and expected.chain == CHAIN_START)
            if head.log_id != expected.log_id or state.counters.control > at or not is_passed:
                raise superseded(expected)
            version, chain = head.version + 1, next_chain(head.chain, payload)
            state.ids[control_id] = version
            state.entries[version] = Entry(version, chain, payload)
            state.head = replace(head, version=version, chain=chain)
            state.counters = replace(state.counters, control=version)
            return version

    def append_many(self, items: list[Append]) -> list[Appended]:
        return [self.append(item) for item in items]

    def read(self, version: int, count: int) -> Slice:
        with self._mutex:
            state = self._here()
            if version == state.head.version:
                return Slice(state.head, [])
            first = max(version, next(iter(state.entries), 1))  # earlier ones were trimmed
            found = (state.entries.get(at) for at in range(first, first + count + 1))
            entries = [entry for entry in found if entry is not None]
            own = bool(entries) and entries[0].version == version
            return Slice(state.head, entries[: count + own])

    def position(self, source: str) -> str | None:
        return self.positions().get(source)

    def positions(self) -> dict[str, str]:
        with self._mutex:
            return dict(self._here().positions)

    def find(self, event_ids: Sequence[str]) -> list[int | None]:
        with self._mutex:
            state = self._here()
            return [state.ids.get(each, state.older_ids.get(each)) for each in event_ids]

    def raise_epoch(self, at_least: int) -> Head:
        with self._mutex:
            state = self._here()
            state.head = replace(state.head, epoch=max(state.head.epoch, at_least))
            return state.head

    def claim(self, fold_id: str) -> Head:
        with self._mutex:
            state = self._here()
            state.head = replace(state.head, fold_id=state.head.fold_id or fold_id)
            return state.head

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        with self._mutex, self._snapshots.lock.mutex:
            state = self._here()
            self._snapshots.lock.check(lease)
            state.head = replace(state.head, fold_id=fold_id)
            return state.head

    def limit(self, version: int, why: str) -> None:
        with self._mutex:
            self._here().limit = (version, why)

    def fullness(self) -> float:
        return 0.0

    def leads_to(self, snapshot: Snapshot) -> bool:
        """Whether the log holds the snapshot's version with its chain, and no control entry after it; True
        without a log."""
        with self._mutex:
            if self._state is None:
                return True
            head, entry = self._state.head, self._state.entries.get(snapshot.version)
            here = {(head.version, head.chain)} | ({(entry.version, entry.chain)} if entry else set())
            is_outdated = snapshot.version < self._state.counters.control
            is_here = (snapshot.version, snapshot.chain) in here
            return head.log_id == snapshot.log_id and is_here and not is_outdated

    def counters(self) -> Counters:
        with self._mutex:
            return self._here().counters

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        with self._mutex, self._snapshots.lock.mutex:
            state = self._here()
            self._snapshots.lock.check(lease)
            covering = [
                snapshot
                for snapshot in self._snapshots.list()
                if snapshot.log_id == state.head.log_id
                and snapshot.fold_id == fold_id
                and snapshot.version >= max(up_to_version, state.counters.control)
                and snapshot.version in state.entries
                and snapshot.chain == state.entries[snapshot.version].chain
            ]
            if len({snapshot.version for snapshot in covering}) < 2:
                raise uncovered(up_to_version)
            removed = [version for version in state.entries if version < up_to_version]
            for version in removed:
                del state.entries[version]
            return len(removed)

    def _here(self) -> _State:
        if self._state is None:
            raise LogMissing("there is no log in memory: call create() first")
        return self._state
