"""Handing a log over to another arithmetic: another spec, or a release whose kernel computes other bits.

A log belongs to one fold id, and replicas of any other refuse to serve it, so no two of them ever answer with
different models of one name. Changing it is a decision: `adopt` takes it under the version lock. From then on
replicas of the old fold refuse; those of the new one fold the log from its beginning, or from a snapshot
of theirs.
"""

from odl.errors import DamagedSnapshot, HistoryLost, Unavailable
from odl.fold import LoadLearner
from odl.lock import VersionLock
from odl.log import Head, Log
from odl.retention import verify
from odl.snapshots import Snapshot, SnapshotStore

LEASE_MS = 30_000  # a few calls to Redis; a holder that died blocks the others this long at most


def adopt(
    log: Log,
    store: SnapshotStore,
    lock: VersionLock,
    fold_id: str,
    load_learner: LoadLearner,
) -> Head:
    """Make the log that of `fold_id`, and drop the snapshots of the fold that it belonged to.

    Safe to repeat. Raises `Unavailable` while somebody else holds the version lock, `Fenced` when the lease
    ended meanwhile, `HistoryLost` when the new fold could not be made: the log's beginning was trimmed and
    there is no snapshot of it. Nothing has changed then.
    """
    lease = lock.acquire(f"adopt {fold_id}", LEASE_MS)
    if lease is None:
        raise Unavailable("somebody else holds the version lock: try again in some seconds")
    try:
        head = log.head()
        if head.fold_id == fold_id:
            return head
        if not _can_begin(log, store, fold_id, load_learner):
            raise HistoryLost(
                f"fold {fold_id} cannot begin: the log's beginning was trimmed, and no good snapshot "
                f"of that fold is on its history; the log stays with fold {head.fold_id}"
            )
        adopted = log.adopt(fold_id, lease)
        for snapshot in store.list():
            if snapshot.fold_id == head.fold_id:
                store.drop(snapshot, lease)
        return adopted
    finally:
        lock.release(lease)


def _can_begin(log: Log, store: SnapshotStore, fold_id: str, load_learner: LoadLearner) -> bool:
    """Whether a replica of that fold would find something to begin with. Nobody trims meanwhile: that takes
    the version lock."""
    part = log.read(0, 1)
    if part.head.version == 0 or (part.entries and part.entries[0].version == 1):
        return True
    return any(
        snapshot.fold_id == fold_id and _is_here(log, snapshot) and _is_good(snapshot, store, load_learner)
        for snapshot in store.list()
    )


def _is_here(log: Log, snapshot: Snapshot) -> bool:
    part = log.read(snapshot.version, 1)
    found = {(part.head.version, part.head.chain)} | {(each.version, each.chain) for each in part.entries}
    return part.head.log_id == snapshot.log_id and (snapshot.version, snapshot.chain) in found


def _is_good(snapshot: Snapshot, store: SnapshotStore, load_learner: LoadLearner) -> bool:
    try:
        verify(snapshot, store, load_learner)
    except DamagedSnapshot:
        return False
    return True
