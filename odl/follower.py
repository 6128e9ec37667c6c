"""A follower keeps a fold in step with the log: reads, compares chains, learns, starts over when it must.

It knows neither requests nor time, so a simulation drives it as a replica does.

  restoring ──newest snapshot on this history, else version 0──► following
      ▲                                                            │ own entry gone or another chain: raise
      └────────────────────────────────────────────────────────────┘ the epoch, forget the lost branch

A control entry (odl.control) puts another plan in force: then the fold under it is made beside the one that
serves, which stays where it is until the other one is there.
"""

import logging
from collections.abc import Callable, Iterable, Iterator

from odl.control import Control, control_of, is_control
from odl.errors import HistoryLost, OtherFold
from odl.fold import LoadLearner
from odl.folds import Folds, LearnerOf
from odl.learner import Learner
from odl.log import Entry, Head, Log
from odl.reading import Reading
from odl.rebuild import Rebuild
from odl.relation import Relation, relation
from odl.snapshots import Snapshot, SnapshotStore

logger = logging.getLogger(__name__)


class Follower:
    """A fold and its place in the log."""

    def __init__(
        self,
        new_learner: Callable[[], Learner],
        load_learner: LoadLearner,
        log: Log,
        snapshots: SnapshotStore | None,
        learner_of: LearnerOf | None = None,
    ) -> None:
        self.folds = Folds(new_learner, load_learner, log, snapshots, learner_of)
        self._log = log
        self._rebuild: Rebuild | None = None  # under way since a control entry put another plan in force
        self._restoring = True
        self._lost = False  # the epoch has to grow before anything is answered
        self.fold = self.folds.new()
        self.fold_id = self.folds.fold_id  # of the model file, and so of the log; plans may name others
        self.epoch = 0
        self.log_id = ""
        self.resets = 0  # how often learned history turned out to be lost
        self._part: list[Entry] = []  # what the last step read

    @property
    def taken(self) -> int:
        """How many entries the last step read, with the one it began at; not what a snapshot brought."""
        return len(self._part)

    def step(self, count: int) -> Head | None:
        """Read the log and learn up to `count` new entries. The head at the last read, or None if the fold
        had to be replaced: then nothing is known about the head, step again.

        Raises `Unavailable` when the log is out of reach, `OtherFold` when it belongs to another
        arithmetic, `HistoryLost` when it is damaged or trimmed and no snapshot bridges that.
        """
        self._part = []
        if self._restoring:
            self._restore()
        reading = Reading(self._log, self.fold.version, count)
        head = reading.head
        how = relation(self.fold.version, self.fold.chain, reading.first)
        if how is Relation.LOST or head.log_id != self.log_id:
            self._forget(head)
            return None
        self._check_fold_id(head)
        if how is Relation.TRIMMED:
            self._bridge(head, f"the log begins after version {self.fold.version}")
            return None
        try:
            self._take(reading)
        except HistoryLost as error:
            self._bridge(head, str(error))
            return None
        self._part = reading.entries
        self._follow_epoch(reading.head)
        if self._rebuild is not None and self._step_rebuild(self._rebuild, count):
            return None
        return reading.head

    def _take(self, pages: Iterable[list[Entry]]) -> None:
        """Learn up to the next control entry; what comes from there on is for the fold under its plan."""
        if self._rebuild is not None:
            return
        found: list[tuple[Control, Entry]] = []
        self.fold.take_pages(self._up_to_control(pages, found))
        for control, entry in found:
            self.fold.check(entry)
            self._rebuild = Rebuild(self.folds, control, entry, self.log_id)

    def _up_to_control(
        self, pages: Iterable[list[Entry]], found: list[tuple[Control, Entry]]
    ) -> Iterator[list[Entry]]:
        for page in pages:
            for at in [at for at, entry in enumerate(page) if is_control(entry.payload)]:
                entry, control = page[at], control_of(page[at].payload)
                if control is not None and entry.version > self.fold.plan.since:
                    found.append((control, entry))
                    yield page[:at]
                    return
            yield page

    def _step_rebuild(self, rebuild: Rebuild, count: int) -> bool:
        """The fold of before goes on serving whom the policy lets it serve, until the other one is there;
        whether it is."""
        try:
            fold = rebuild.step(count)
        except HistoryLost:
            self._rebuild = None  # begins again from what the log is then
            raise
        if fold is not None:
            self.fold, self._rebuild = fold, None
        return fold is not None

    def is_at(self, head: Head) -> bool:
        """Whether the fold that serves is what the log meant when `head` was read, with nothing under way."""
        fold = self.fold
        return (
            (fold.version, fold.chain) == (head.version, head.chain)
            and (self.epoch, self.log_id, self.fold_id) == (head.epoch, head.log_id, head.fold_id)
            and self._rebuild is None
            and not self._restoring
        )

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
        self.fold, self._rebuild = self.folds.new(), None
        self.resets += 1
        self._restoring = self._lost = True

    def _restore(self) -> None:
        head = self._log.raise_epoch(self.epoch + 1) if self._lost else self._log.head()
        self._check_fold_id(head)
        self.fold = self.folds.newest(head.log_id) or self.fold
        self.epoch, self.log_id = head.epoch, head.log_id
        self._restoring = self._lost = False

    def _bridge(self, head: Head, why: str) -> None:
        fold = self.folds.newest(head.log_id, above=self.fold.version)
        if fold is None:
            raise HistoryLost(
                f"{why}, and no good snapshot after it is on this log's history: "
                "restore the log from a backup, or add a snapshot"
            )
        self.fold, self._rebuild = fold, None

    def snapshots_here(self) -> Iterator[Snapshot]:
        """Records of snapshots by the arithmetic that serves now, on the log's history, newest first."""
        fold_id = self.fold.learner.fold_id
        return (found for found in self.folds.snapshots_here(self.log_id) if found.fold_id == fold_id)
