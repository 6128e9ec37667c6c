"""Snapshots of a serving replica: its bytes at a version, saved under the version lock.

Every replica runs a snapshotter; whoever holds the version lock saves, the others see that it was done.
The replica's thread only copies the bytes. Loading them back and hashing happens here, so what becomes
visible is known to load into the learner that was serving.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from odl.errors import DamagedSnapshot, Fenced, Unavailable
from odl.fold import Fold, LoadLearner
from odl.follower import Follower
from odl.lock import VersionLock
from odl.replica import Replica
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

    Raises `Unavailable`, `Fenced` or `DamagedSnapshot`; nothing became visible then.
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
    """Saves a snapshot whenever the newest one is `settings.snapshot_every` versions old, and at `stop`.

    Stop it before its replica. `look` is one step without the thread.
    """

    def __init__(
        self, replica: Replica, store: SnapshotStore, lock: VersionLock, load_learner: LoadLearner
    ) -> None:
        self._replica = replica
        self._store = store
        self._lock = lock
        self._load_learner = load_learner
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

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self._try(self.look)
        self._try(lambda: self.look(versions=1))

    def _try(self, look: Callable[[], Snapshot | None]) -> None:
        """A snapshot that fails is tried again at the next look; serving goes on meanwhile."""
        try:
            look()
        except (Unavailable, Fenced, DamagedSnapshot, TimeoutError) as error:
            logger.warning("no snapshot: %s", error)


def _standing(follower: Follower) -> tuple[int, int, int]:
    """A replica's version and epoch, and the version of the newest snapshot on its history (0: none)."""
    newest = next(follower.snapshots_here(), None)
    return follower.fold.version, follower.epoch, newest.version if newest else 0
