"""Where folds begin: anew, or from a snapshot that was made of the same history under a like plan.

A control entry (odl.control) at version n says under which plan the log's first n entries are folded from
then on. The fold under a new plan need not begin at version 0: a snapshot of version s serves as well if the
new plan reads the log's first s entries as the snapshot's did, and has the same learner.
"""

import logging
from collections.abc import Callable, Iterator

from odl.control import BASE, Control, Plan, Spec, control_of
from odl.errors import DamagedSnapshot, HistoryLost
from odl.fold import Fold, LoadLearner
from odl.learner import Learner
from odl.log import Log
from odl.relation import Relation, relation
from odl.snapshots import Snapshot, SnapshotStore

logger = logging.getLogger(__name__)

LearnerOf = Callable[[Spec], Learner]


class Folds:
    """Folds of one log, its snapshots and the learners that can read it."""

    def __init__(
        self,
        new_learner: Callable[[], Learner],
        load_learner: LoadLearner,
        log: Log,
        snapshots: SnapshotStore | None = None,
        learner_of: LearnerOf | None = None,
    ) -> None:
        """`learner_of`: a new learner of the spec that a control entry names."""
        self.log = log
        self._new_learner = new_learner
        self._load_learner = load_learner
        self._snapshots = snapshots
        self._learner_of = learner_of
        self.fold_id = new_learner().fold_id  # of the model file; plans may say otherwise

    def on(self, log: Log) -> "Folds":
        """The same folds of another view of their log."""
        return Folds(self._new_learner, self._load_learner, log, self._snapshots, self._learner_of)

    def new(self, plan: Plan = BASE) -> Fold:
        """The fold of nothing under a plan. Raises `HistoryLost` if its spec makes no learner here."""
        if plan.spec is None:
            return Fold(self._new_learner(), plan=plan)
        if self._learner_of is None:
            raise HistoryLost(f"version {plan.since} names another learner, which cannot be made here")
        try:
            return Fold(self._learner_of(plan.spec), plan=plan)
        except (ValueError, TypeError) as error:
            raise HistoryLost(
                f"version {plan.since} names a learner that this release cannot make: {error}"
            ) from error

    # ------------------------------------------------------------------ snapshots

    def snapshots_here(self, log_id: str, above: int = 0) -> Iterator[Snapshot]:
        """Records of snapshots after a version on the log's present history, newest first, whatever their
        arithmetic."""
        for snapshot in self._snapshots.list() if self._snapshots else []:
            if snapshot.version > above and snapshot.log_id == log_id and self.is_here(snapshot):
                yield snapshot

    def newest(self, log_id: str, above: int = 0) -> Fold | None:
        """The fold of the newest good snapshot after a version."""
        return next((fold for fold in map(self.load, self.snapshots_here(log_id, above)) if fold), None)

    def is_here(self, snapshot: Snapshot) -> bool:
        """Whether the log's present history passes through the snapshot."""
        part = self.log.read(snapshot.version, 1)
        return relation(snapshot.version, snapshot.chain, part) is Relation.CONTINUES

    def load(self, snapshot: Snapshot) -> Fold | None:
        """The fold in a snapshot; None (and a warning) if it is not what its record says. One of another
        model file's learner is None, too: only plans may change the learner."""
        assert self._snapshots is not None
        try:
            fold = Fold.from_bytes(self._snapshots.load(snapshot), self._load_learner)
            if (fold.version, fold.chain) != (snapshot.version, snapshot.chain):
                raise DamagedSnapshot(f"expected version {snapshot.version}, the bytes hold {fold.version}")
            if fold.learner.digest() != snapshot.digest or fold.learner.fold_id != snapshot.fold_id:
                raise DamagedSnapshot("the bytes hold another learner than was recorded")
        except (DamagedSnapshot, ValueError) as error:
            logger.warning("snapshot of version %d passed over: %s", snapshot.version, error)
            return None
        if fold.plan.spec is None and fold.learner.fold_id != self.fold_id:
            return None
        return fold

    # ------------------------------------------------------------------ under a plan

    def begin(self, plan: Plan, up_to: int, log_id: str) -> Fold:
        """A fold under `plan` from which the log leads to version `up_to`: the nearest there is. Raises
        `HistoryLost` if the log was trimmed below what that needs."""
        return self.nearest(plan, up_to, log_id) or self._from_the_beginning(plan, up_to)

    def nearest(self, plan: Plan, up_to: int, log_id: str) -> Fold | None:
        """The fold of the newest snapshot up to a version that will do for `plan`."""
        wanted = self.new(plan).learner.fold_id
        for snapshot in self.snapshots_here(log_id):
            if snapshot.version > up_to or snapshot.fold_id != wanted:
                continue
            fold = self.load(snapshot)
            if fold is not None and fold.plan.reads_as(plan, fold.version):
                fold.plan = plan
                return fold
        return None

    def _from_the_beginning(self, plan: Plan, up_to: int) -> Fold:
        fold = self.new(plan)
        first = min(plan.begins_after(), up_to)
        chain = chain_at(self.log, first)
        if chain is not None:
            fold.pass_to(first, chain)
            return fold
        part = self.log.read(0, 1)
        if up_to and part.head.version and (not part.entries or part.entries[0].version > 1):
            begins = part.entries[0].version if part.entries else part.head.version
            raise HistoryLost(
                f"the log begins at version {begins}, and no snapshot that it leads on from holds what came "
                f"before as version {up_to} needs it: choose a later version, or name the archive (--archive)"
            )
        return fold

    # ------------------------------------------------------------------ plans of the past

    def plan_at(self, version: int) -> Plan:
        """The plan in force at a version. Raises `HistoryLost` if nothing tells it any more."""
        at = self.log.counters().control
        while at:
            control = control_at(self.log, at)
            if control is None:
                return self._plan_of_snapshot(at, version)
            if at <= version:
                return control.plan(at)
            at = control.previous
        return BASE

    def _plan_of_snapshot(self, at: int, version: int) -> Plan:
        """The entry at `at` was trimmed; a snapshot that was taken under its plan holds that."""
        for snapshot in self.snapshots_here(self.log.head().log_id):
            fold = self.load(snapshot) if at <= snapshot.version <= version else None
            if fold is not None and fold.plan.since == at:
                return fold.plan
        raise HistoryLost(f"the log was trimmed beyond version {version}: choose a later one")

    def base_spec(self, mine: Spec) -> Spec:
        """The spec before the first control entry: what the log says of it, else `mine`."""
        at = self.log.counters().control
        control = control_at(self.log, at) if at else None
        return control.base if control else mine


def chain_at(log: Log, version: int) -> str | None:
    """The log's chain at a version; None if it was trimmed or lies beyond the head."""
    if version == 0:
        return None
    part = log.read(version, 1)
    if part.head.version == version:
        return part.head.chain
    first = part.entries[0] if part.entries else None
    return first.chain if first and first.version == version else None


def control_at(log: Log, version: int) -> Control | None:
    """The control entry at a version; None if there is none, or none any more."""
    for entry in log.read(version - 1, 1).entries:
        if entry.version == version:
            return control_of(entry.payload)
    return None
