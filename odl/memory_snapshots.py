"""Snapshots in memory: what defines the contract of `odl.snapshots`, for tests and one process."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

from odl.lock import Lease
from odl.memory_lock import MemoryLock
from odl.snapshots import KEEP, Snapshot, check_bytes, elsewhere

if TYPE_CHECKING:
    from odl.memory import MemoryLog


class MemorySnapshots:
    """A `SnapshotStore` that keeps the bytes of the last `keep` snapshots of each fold."""

    def __init__(self, lock: MemoryLock, keep: int = KEEP) -> None:
        self.lock = lock
        self.log: MemoryLog | None = None  # the log that relies on them; it says so when it is made
        self._keep = keep
        self._stored: dict[Snapshot, bytes] = {}  # in the order in which they became visible

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        check_bytes(snapshot, data)
        with self.log._mutex if self.log else nullcontext(), self.lock.mutex:
            self.lock.check(lease)
            if not self._is_on_log(snapshot):
                raise elsewhere(snapshot)
            self._stored.pop(snapshot, None)
            self._stored[snapshot] = bytes(data)
            of_fold = [kept for kept in self._stored if kept.fold_id == snapshot.fold_id]
            for old in of_fold[: -self._keep]:
                del self._stored[old]

    def _is_on_log(self, snapshot: Snapshot) -> bool:
        return self.log is None or self.log.leads_to(snapshot)

    def drop(self, snapshot: Snapshot, lease: Lease) -> None:
        with self.lock.mutex:
            self.lock.check(lease)
            self._stored.pop(snapshot, None)

    def list(self) -> list[Snapshot]:
        with self.lock.mutex:
            return sorted(reversed(self._stored), key=lambda snapshot: -snapshot.version)

    def load(self, snapshot: Snapshot) -> bytes:
        with self.lock.mutex:
            data = self._stored.get(snapshot, b"")
        check_bytes(snapshot, data)
        return data
