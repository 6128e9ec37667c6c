"""A log in memory with the faults of a real server, on command."""

import copy
from typing import Any

from msgspec.structs import replace

from odl.errors import OdlError
from odl.event import Event, encode
from odl.log import Append, Head, Slice
from odl.memory import MemoryLock, MemoryLog, MemorySnapshots


class FaultyLog(MemoryLog):
    """Can be out of reach, rewound, made anew or trimmed; remembers its reads."""

    def __init__(self, snapshots: MemorySnapshots | None = None, **settings: Any) -> None:
        super().__init__(snapshots, **settings)
        self.error: OdlError | None = None  # what reads raise
        self.reads: list[int] = []  # the version each read began at

    def read(self, version: int, count: int) -> Slice:
        self.reads.append(version)
        self._fail()
        return super().read(version, count)

    def head(self) -> Head:
        self._fail()
        return super().head()

    def raise_epoch(self, at_least: int) -> Head:
        self._fail()
        return super().raise_epoch(at_least)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def backup(self) -> Any:
        """Everything stored now."""
        with self._mutex:
            return copy.deepcopy(self._state)

    def restore(self, backup: Any) -> None:
        """What a server does that lost its tail: everything after the backup is gone."""
        with self._mutex:
            self._state = copy.deepcopy(backup)

    def flush(self) -> None:
        """FLUSHALL."""
        with self._mutex:
            self._state = None

    def forget_before(self, version: int) -> None:
        """Trim without asking whether snapshots allow it."""
        with self._mutex:
            state = self._here()
            state.entries = {at: entry for at, entry in state.entries.items() if at >= version}

    def overwrite(self, version: int, payload: bytes) -> None:
        """A flipped byte in an append-only file: the server starts as if nothing were wrong."""
        with self._mutex:
            state = self._here()
            state.entries[version] = replace(state.entries[version], payload=payload)


def new_log() -> tuple[FaultyLog, MemorySnapshots, MemoryLock]:
    """A log, a snapshot store and a lock that belong together."""
    lock = MemoryLock()
    snapshots = MemorySnapshots(lock)
    log = FaultyLog(snapshots)
    log.create()
    return log, snapshots, lock


def append(log: MemoryLog, *ids: str, y: str = "yes", source: str = "rest:test") -> int:
    """Append one event an id; the version of the last."""
    version = 0
    for event_id in ids:
        event = Event(id=event_id, x={"n": event_id}, y=y, source=source)
        version = log.append(Append(encode(event), event_id, source)).version or 0
    return version


def append_bytes(log: MemoryLog, payload: bytes, event_id: str) -> None:
    """Append a payload that no sender would have got past validation."""
    log.append(Append(payload, event_id, "rest:test"))
