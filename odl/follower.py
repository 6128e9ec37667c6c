"""A follower keeps a fold in step with the log: reads, compares chains, learns, starts over when it must.

It knows neither requests nor time, so a simulation drives it as a replica does.

  restoring ──newest snapshot on this history, else version 0──► following
      ▲                                                            │ own entry gone or another chain: raise
      └────────────────────────────────────────────────────────────┘ the epoch, forget the lost branch
"""

import logging
from collections.abc import Callable, Iterator
from enum import Enum, auto

from odl.errors import DamagedSnapshot, HistoryLost, OtherFold
from odl.fold import Fold, LoadLearner
from odl.learner import Learner
from odl.log import Entry, Head, Log, Slice, next_chain
from odl.snapshots import Snapshot, SnapshotStore

logger = logging.getLogger(__name__)


class Relation(Enum):
    """How a log continues a position in it."""

    CONTINUES = auto()
    LOST = auto()  # the log holds another history at this position, or ends before it
    TRIMMED = auto()  # the log begins after this position: only a snapshot can bridge that


def relation(version: int, chain: str, part: Slice) -> Relation:
    """How `part`, read at `version`, continues a history that has `chain` there.

    Version numbers alone repeat after a rewind, so chains decide.
    """
    head, entries = part.head, part.entries
    if head.version < version or (head.version == version and head.chain != chain):
        return Relation.LOST
    if head.version == version:
        return Relation.CONTINUES
    if not entries or entries[0].version > version + 1:
        return Relation.TRIMMED
    first = entries[0]
    if first.version == version:
        return Relation.CONTINUES if first.chain == chain else Relation.LOST
    if version == 0:  # nothing was learned, so nothing was lost; damage shows when the entry is taken
        return Relation.CONTINUES
    # Our own entry was trimmed, but the next one proves where it comes from.
    return Relation.CONTINUES if next_chain(chain, first.payload) == first.chain else Relation.LOST


class Follower:
    """A fold and its place in the log."""

    def __init__(
        self,
        new_learner: Callable[[], Learner],
        load_learner: LoadLearner,
        log: Log,
        snapshots: SnapshotStore | None,
    ) -> None:
        self._new_learner = new_learner
        self._load_learner = load_learner
        self._log = log
        self._snapshots = snapshots
        self._restoring = True
        self._lost = False  # the epoch has to grow before anything is answered
        self.fold = Fold(new_learner())
        self.fold_id = self.fold.learner.fold_id
        self.epoch = 0
        self.log_id = ""
        self.resets = 0  # how often learned history turned out to be lost
        self._part: list[Entry] = []  # what the last step read

    def step(self, count: int) -> Head | None:
        """Read the log once and learn up to `count` new entries. The head which that read saw, or None
        if the fold had to be replaced: then nothing is known about the head, step again.

        Raises `Unavailable` when the log is out of reach, `OtherFold` when it belongs to another
        arithmetic, `HistoryLost` when it is damaged or trimmed and no snapshot bridges that.
        """
        self._part = []
        if self._restoring:
            self._restore()
        part = self._log.read(self.fold.version, count)
        how = relation(self.fold.version, self.fold.chain, part)
        if how is Relation.LOST or part.head.log_id != self.log_id:
            self._forget(part.head)
            return None
        self._check_fold_id(part.head)
        if how is Relation.TRIMMED:
            self._bridge(part.head, f"the log begins after version {self.fold.version}")
            return None
        try:
            for entry in part.entries:
                if entry.version > self.fold.version:
                    self.fold.take(entry)
        except HistoryLost as error:
            self._bridge(part.head, str(error))
            return None
        self._part = part.entries
        self._follow_epoch(part.head)
        return part.head

    def chain_at(self, version: int) -> str | None:
        """The chain of a version that the last step read; None for others, which say nothing about it."""
        if version == self.fold.version:
            return self.fold.chain
        at = version - self._part[0].version if self._part else -1
        return self._part[at].chain if 0 <= at < len(self._part) else None

    def _check_fold_id(self, head: Head) -> None:
        if not head.fold_id:  # a new log, or one that lost the claim together with its tail
            head = self._log.claim(self.fold_id)
        if head.fold_id != self.fold_id:
            raise OtherFold(
                f"the log belongs to fold {head.fold_id}, this replica computes {self.fold_id}: "
                "start it with that fold's model file and release, or hand the log over (`odl adopt`)"
            )

    def _follow_epoch(self, head: Head) -> None:
        if head.epoch < self.epoch:
            # Redis forgot that it had lost history, so what came after the loss may be gone as well.
            head = self._log.raise_epoch(self.epoch + 1)
        self.epoch = head.epoch

    def _forget(self, head: Head) -> None:
        """Drop the lost branch at once, so that no policy can serve it while the rest is arranged."""
        logger.warning(
            "history lost: learned version %d of log %s, which now ends at version %d of log %s; rebuilding",
            self.fold.version, self.log_id, head.version, head.log_id,
        )  # fmt: skip
        self.fold = Fold(self._new_learner())
        self.resets += 1
        self._restoring = self._lost = True

    def _restore(self) -> None:
        head = self._log.raise_epoch(self.epoch + 1) if self._lost else self._log.head()
        self._check_fold_id(head)
        self.fold = self._newest_fold(head, above=0) or self.fold
        self.epoch, self.log_id = head.epoch, head.log_id
        self._restoring = self._lost = False

    def _bridge(self, head: Head, why: str) -> None:
        fold = self._newest_fold(head, above=self.fold.version)
        if fold is None:
            raise HistoryLost(
                f"{why}, and no good snapshot after it is on this log's history: "
                "restore the log from a backup, or add a snapshot"
            )
        self.fold = fold

    def snapshots_here(self, head: Head | None = None) -> Iterator[Snapshot]:
        """Records of snapshots by this arithmetic on the log's present history, newest first."""
        log_id = head.log_id if head else self.log_id
        for snapshot in self._snapshots.list() if self._snapshots else []:
            if (snapshot.fold_id, snapshot.log_id) == (self.fold_id, log_id) and self._is_here(snapshot):
                yield snapshot

    def _is_here(self, snapshot: Snapshot) -> bool:
        part = self._log.read(snapshot.version, 1)
        return relation(snapshot.version, snapshot.chain, part) is Relation.CONTINUES

    def _newest_fold(self, head: Head, above: int) -> Fold | None:
        for snapshot in self.snapshots_here(head):
            if snapshot.version <= above:
                break
            fold = self._load(snapshot)
            if fold is not None:
                return fold
        return None

    def _load(self, snapshot: Snapshot) -> Fold | None:
        store = self._snapshots
        assert store is not None
        try:
            fold = Fold.from_bytes(store.load(snapshot), self._load_learner)
            if (fold.version, fold.chain) != (snapshot.version, snapshot.chain):
                raise DamagedSnapshot(f"expected version {snapshot.version}, the bytes hold {fold.version}")
            if fold.learner.digest() != snapshot.digest or fold.learner.fold_id != self.fold_id:
                raise DamagedSnapshot("the bytes hold another learner than was recorded")
        except (DamagedSnapshot, ValueError) as error:
            logger.warning("snapshot of version %d passed over: %s", snapshot.version, error)
            return None
        return fold
