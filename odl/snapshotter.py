"""Snapshots of a serving replica: its bytes at a version, saved under the version lock; and what they allow.

Every replica runs a snapshotter; whoever holds the version lock saves, the others see that it was done,
load what was saved and say so in their heartbeats. The replica's thread only copies the bytes. Loading them
back and hashing happens here, so what becomes visible is known to load into the learner that was serving.
Where old entries may go (odl.retention) and how far the log may grow (odl.pressure) follows from snapshots
and heartbeats, so that is done here as well.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from odl.errors import DamagedSnapshot, Fenced, HistoryLost, Unavailable
from odl.fold import Fold, LoadLearner
from odl.follower import Follower
from odl.lock import VersionLock
from odl.log import Log
from odl.pressure import limit_of
from odl.replica import Replica
from odl.replicas import ReplicaRecord, Replicas
from odl.retention import first_to_keep, is_confirmed, verify
from odl.snapshots import Snapshot, SnapshotStore

logger = logging.getLogger(__name__)

LEASE_MS = 30_000  # saving takes well under a second; a holder that died blocks the others this long at most
LOOK_EVERY_S = 1.0  # how often a snapshotter compares versions
CAPTURE_S_MAX = 30.0  # how long the replica's thread may take to copy its bytes


@dataclass(frozen=True, slots=True)
class Captured:
    """A fold's bytes and where they stand."""

    version: int
    chain: str
    log_id: str
    fold_id: str
    data: bytes


def capture(follower: Follower) -> Captured:
    """Copy a fold. Runs on the thread that owns it: `replica.ask(capture)`."""
    fold = follower.fold
    return Captured(fold.version, fold.chain, follower.log_id, fold.learner.fold_id, fold.to_bytes())


def describe(captured: Captured, load_learner: LoadLearner) -> Snapshot:
    """The record of captured bytes, made by loading them. Raises `DamagedSnapshot` if they do not load."""
    try:
        fold = Fold.from_bytes(captured.data, load_learner)
    except ValueError as error:
        raise DamagedSnapshot(f"bytes of version {captured.version} do not load: {error}") from error
    if (fold.version, fold.chain, fold.learner.fold_id) != (
        captured.version,
        captured.chain,
        captured.fold_id,
    ):
        raise DamagedSnapshot(f"expected the fold of version {captured.version}, loaded {fold.version}")
    return Snapshot(
        version=captured.version,
        chain=captured.chain,
        log_id=captured.log_id,
        fold_id=captured.fold_id,
        digest=fold.learner.digest(),
        sha256=hashlib.sha256(captured.data).hexdigest(),
        size_bytes=len(captured.data),
        created_ms=time.time_ns() // 1_000_000,
    )


def save_now(
    replica: Replica, store: SnapshotStore, lock: VersionLock, load_learner: LoadLearner
) -> Snapshot | None:
    """Save a running replica as it is now; None while somebody else holds the version lock.

    Raises `Unavailable`, `Fenced`, `HistoryLost` or `DamagedSnapshot`; nothing became visible then.
    """
    lease = lock.acquire(f"snapshot by {replica.replica_id}", LEASE_MS)
    if lease is None:
        return None
    try:
        captured = replica.ask(capture).result(CAPTURE_S_MAX)
        snapshot = describe(captured, load_learner)
        store.save(snapshot, captured.data, lease)
        return snapshot
    except TimeoutError as error:
        raise Unavailable(f"the replica did not answer within {CAPTURE_S_MAX:.0f} s") from error
    finally:
        lock.release(lease)


class Snapshotter:
    """Saves a snapshot whenever the newest one is `settings.snapshot_every` versions old, and at `stop`;
    with `log` and `replicas` also confirms those of others, trims, and keeps the log's limit.

    `retain`: entries that trimming leaves at least, None to trim nothing; `archived`: up to which version the
    log is archived, where entries may not go before they are. Stop it before its replica.
    `look` and `tend` are one step each without the thread.
    """

    def __init__(
        self,
        replica: Replica,
        store: SnapshotStore,
        lock: VersionLock,
        load_learner: LoadLearner,
        log: Log | None = None,
        replicas: Replicas | None = None,
        retain: int | None = None,
        archived: Callable[[], int] | None = None,
    ) -> None:
        self._replica = replica
        self._store = store
        self._lock = lock
        self._load_learner = load_learner
        self._log = log
        self._replicas = replicas
        self._retain = retain
        self._archived = archived
        self._trimmed = (0, 0)  # epoch and first version that was kept, so that trimming goes in larger steps
        self._every = replica.settings.snapshot_every
        self._newest = 0  # newest snapshot known, so that the store is only asked when one seems due
        self._epoch = 0  # when that was known
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshotter", daemon=True)

    def start(self) -> None:
        """Start looking every second."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Save what was learned since the newest snapshot and end the thread; wait so long for both."""
        self._stop.set()
        if self._thread.ident is None:
            self._thread.start()  # for the last look alone
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("no last snapshot: it was not saved within %.1f s", timeout_s)

    def look(self, versions: int | None = None) -> Snapshot | None:
        """Save if the newest snapshot is `versions` (else `settings.snapshot_every`) behind the replica.
        The new snapshot; None if none was due or somebody else holds the lock."""
        every = versions or self._every
        health = self._replica.health()
        if health.epoch == self._epoch and health.version - self._newest < every:
            return None
        # Perhaps another replica was faster; and of a lost history, the newest snapshot is none.
        version, self._epoch, self._newest = self._replica.ask(_standing).result(CAPTURE_S_MAX)
        if version - self._newest < every:
            return None
        snapshot = save_now(self._replica, self._store, self._lock, self._load_learner)
        if snapshot is not None:
            self._newest = snapshot.version
            logger.info("snapshot of version %d saved, %d bytes", snapshot.version, snapshot.size_bytes)
        return snapshot

    def tend(self) -> None:
        """Confirm the newest snapshot, set the log's limit, trim. Raises what `look` raises."""
        log, replicas, replica = self._log, self._replicas, self._replica
        if log is None or replicas is None:
            return
        kept = replica.ask(_kept).result(CAPTURE_S_MAX)
        if kept and kept[0].sha256 != replica.confirmed:
            verify(kept[0], self._store, self._load_learner)
            replica.confirmed = kept[0].sha256
        if replica.has_joined:
            self._keep_limit(log, replicas.list(), kept)
        if kept and self._retain is not None:
            self._trim(log, replicas, kept)

    def _keep_limit(self, log: Log, records: list[ReplicaRecord], kept: list[Snapshot]) -> None:
        settings = self._replica.settings
        saved = kept[0].version if kept else 0
        limit = limit_of(
            records, saved, log.fullness(), lag_max=settings.lag_max, snapshot_every=settings.snapshot_every
        )
        log.limit(limit.version, limit.why)

    def _trim(self, log: Log, replicas: Replicas, kept: list[Snapshot]) -> None:
        head = log.head()
        first = first_to_keep(head.version, kept, self._retain)
        done = self._trimmed[1] if self._trimmed[0] == head.epoch else 0
        if first < done + self._every:
            return
        if self._archived is not None:
            first = min(first, self._archived())
            if first < done + self._every:
                logger.info("not trimmed: the log is archived up to version %d only", first)
                return
        if not is_confirmed(kept[0], replicas.list(), self._replica.replica_id):
            return  # at one of the next looks
        lease = self._lock.acquire(f"trim by {self._replica.replica_id}", LEASE_MS)
        if lease is None:
            return
        try:
            removed = 0
            while now := log.trim(first, kept[0].fold_id, lease):
                removed += now
            self._trimmed = (head.epoch, first)
            logger.info("the log was trimmed before version %d, %d entries went", first, removed)
        except ValueError as error:
            logger.info("not trimmed yet: %s", error)
        finally:
            self._lock.release(lease)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self._try(self.look)
            self._try(self.tend)
        self._try(lambda: self.look(versions=1))

    def _try(self, look: Callable[[], object]) -> None:
        """A snapshot that fails is tried again at the next look; serving goes on meanwhile."""
        try:
            look()
        except (Unavailable, Fenced, HistoryLost, DamagedSnapshot, TimeoutError) as error:
            logger.warning("no snapshot: %s", error)


def _standing(follower: Follower) -> tuple[int, int, int]:
    """A replica's version and epoch, and the version of the newest snapshot on its history (0: none)."""
    newest = next(follower.snapshots_here(), None)
    return follower.fold.version, follower.epoch, newest.version if newest else 0


def _kept(follower: Follower) -> list[Snapshot]:
    """The snapshots on a replica's history, newest first."""
    return list(follower.snapshots_here())
