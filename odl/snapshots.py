"""Snapshots: learner bytes at a version, verified before anybody relies on them."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from odl.errors import DamagedSnapshot, HistoryLost
from odl.lock import Lease

KEEP = 3  # snapshots kept of each fold: the newest, the one trimming relies on, one more to go back to


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is recorded of a snapshot; the bytes are loaded apart."""

    version: int  # log entries learned
    chain: str  # of the log at that version
    log_id: str  # history it belongs to
    fold_id: str  # arithmetic that made it
    digest: str  # the learner's digest
    sha256: str  # of the stored bytes
    size_bytes: int
    created_ms: int  # Unix milliseconds


class SnapshotStore(Protocol):
    """Where snapshots live. Damaged ones are detected on load; previous ones are kept."""

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        """Write the bytes, read them back, verify, then make the snapshot visible, fenced by `lease`.
        Raises `Fenced`, `DamagedSnapshot`, or `HistoryLost` unless the log holds this version with this chain
        and no control entry after it (it would push out what trimming and replicas rely on); the previous
        snapshots stay as they were then."""

    def list(self) -> list[Snapshot]:
        """Visible snapshots, newest version first."""

    def drop(self, snapshot: Snapshot, lease: Lease) -> None:
        """Remove one, fenced by `lease`; nothing happens if it is gone. Raises `Fenced`."""

    def load(self, snapshot: Snapshot) -> bytes:
        """The bytes. Raises `DamagedSnapshot` when they are missing or differ from the record."""


def elsewhere(snapshot: Snapshot) -> HistoryLost:
    """The error of saving what the log does not lead to."""
    return HistoryLost(
        f"snapshot of version {snapshot.version}: the log does not hold that version with chain "
        f"{snapshot.chain[:12]} (trimmed, or a lost branch), or has a control entry after it; "
        "save the newest version instead"
    )


def check_bytes(snapshot: Snapshot, data: bytes) -> None:
    """Raise `DamagedSnapshot` unless `data` is what `snapshot` records."""
    sha256 = hashlib.sha256(data).hexdigest()
    if len(data) != snapshot.size_bytes or sha256 != snapshot.sha256:
        raise DamagedSnapshot(
            f"snapshot of version {snapshot.version}: expected {snapshot.size_bytes} bytes with sha256 "
            f"{snapshot.sha256[:12]}…, found {len(data)} with {sha256[:12]}…: use an older one"
        )
