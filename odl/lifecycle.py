"""What an operator does to a model: save it, roll it back, promote another. All under the version lock.

A rollback or promotion is prepared first (folded offline, so that what cannot be done is refused before it is
in the log), then appended as a control entry, fenced and only if nobody decided otherwise meanwhile, then
saved as a snapshot, so that replicas load what was prepared and need not fold it themselves.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from odl.control import ID_PREFIX, Control, Plan, Spec, encode_control, merge
from odl.errors import DamagedSnapshot, Fenced, HistoryLost, Misconfigured, Unavailable
from odl.fold import Fold, LoadLearner
from odl.folds import Folds
from odl.lock import Lease, VersionLock
from odl.log import Head
from odl.replay import advance, fold_at
from odl.snapshots import Snapshot, SnapshotStore
from odl.snapshotter import Captured, describe

logger = logging.getLogger(__name__)

LEASE_MS = (
    30_000  # renewed after every thousand entries; an operator that died blocks others this long at most
)
WAIT_S = 30.0  # for the lock: snapshotters hold it for less than a second at a time
LOOK_EVERY_S = 0.05
NEAR = 1_000  # entries left to fold when the lock is taken: some 50 ms

OnPage = Callable[[Fold], None]


@dataclass(frozen=True, slots=True)
class Changed:
    """What a rollback or promotion came to."""

    version: int  # of its entry: the first version of the model as it is now
    control: Control
    fold: Fold  # at that version
    snapshot: Snapshot | None  # None: it could not be saved, so every replica folds anew by itself


class Lifecycle:
    """One operator at one model."""

    def __init__(
        self,
        folds: Folds,
        load_learner: LoadLearner,
        snapshots: SnapshotStore,
        lock: VersionLock,
        *,
        spec: Spec,
        by: str,
        on_page: OnPage | None = None,
        wait_s: float = WAIT_S,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`spec`: of the model file. `by`: who acts; it stands in the log. `on_page` sees progress.
        `wait_s`: how long to wait for the version lock."""
        self.folds = folds
        self._load_learner = load_learner
        self._snapshots = snapshots
        self._lock = lock
        self._spec = spec
        self._by = by
        self._on_page = on_page
        self._wait_s = wait_s
        self._new_id = new_id
        self._clock_ms = clock_ms

    def snapshot(self) -> Snapshot:
        """Save the newest version now. Raises `Unavailable`, `Fenced` or `HistoryLost`."""
        log = self.folds.log
        head = log.head()
        fold = fold_at(self.folds, head.version, on_page=self._on_page)
        with self._lease("snapshot") as lease:
            self._advance(fold, log.head().version, head, lease)
            return self._save(fold, head.log_id, lease)

    def rollback(self, to: int, *, expected: Head | None = None, note: str = "") -> Changed:
        """Bring the state of version `to` back. What was learned after it teaches nothing; scores are those
        of `to`. A promotion after `to` is undone as well.

        `expected`: a head that was looked at before deciding. Raises `Misconfigured` for a version that is
        not in the past, `HistoryLost` when nothing holds that state any more, `Superseded` when somebody
        promoted or rolled back since `expected`; nothing entered the log then.
        """
        log = self.folds.log
        expected = expected or log.head()
        if not 0 <= to < expected.version:
            raise Misconfigured(f"expected a version from 0 to {expected.version - 1}, received {to}")
        with self._lease("rollback") as lease:
            fold = fold_at(self.folds, to, on_page=lambda fold: self._keep(lease, fold))
            base = self.folds.base_spec(self._spec)
            control = self._control("rollback", fold.plan, base, to=to, note=note)
            version = self._append(control, expected, lease)
            with _in_force(version):
                entry = next((e for e in log.read(version - 1, 1).entries if e.version == version), None)
                if entry is None or entry.payload != encode_control(control):
                    raise HistoryLost("the log lost it again: look at it, then decide again")
            fold.plan = control.plan(version)
            fold.pass_to(version, entry.chain)
            return Changed(version, control, fold, self._try_save(fold, expected.log_id, lease))

    def promote(
        self,
        *,
        spec: Spec | None = None,
        after: int = 0,
        without: frozenset[str] = frozenset(),
        afresh: bool = False,
        expected: Head | None = None,
        note: str = "",
    ) -> Changed:
        """Replace the learner by one of `spec` (else the present one), folded over the log's history after
        version `after`, leaving out the sources in `without`, also in future.

        What earlier rollbacks and promotions left out stays out, unless `afresh`. Scores are those that the
        new fold would have had. Raises as `rollback` does.
        """
        log = self.folds.log
        expected = expected or log.head()
        if not 0 <= after <= expected.version:
            raise Misconfigured(f"expected a version from 0 to {expected.version}, received {after}")
        base = self.folds.base_spec(self._spec)
        serving = self.folds.plan_at(expected.version)
        kept = Plan() if afresh else serving
        plan = Plan(
            spec=spec or serving.spec or base,
            left_out=merge((*kept.left_out, (1, after))),
            without=tuple(sorted({*kept.without, *without})),
        )
        self._refuse_same(plan, serving, base, expected.version)
        fold = self.folds.begin(plan, expected.version, expected.log_id)
        while (head := log.head()).version - fold.version > NEAR:
            advance(log, fold, head.version, expected, on_page=self._on_page)
        with self._lease("promotion") as lease:
            self.folds.begin(plan, expected.version, expected.log_id)  # for replicas, if the snapshot fails
            self._advance(fold, log.head().version, expected, lease)
            control = self._control("promote", plan, base, note=note)
            version = self._append(control, expected, lease)
            with _in_force(version):
                self._advance(fold, version, expected, lease)
            fold.plan = control.plan(version)
            return Changed(version, control, fold, self._try_save(fold, expected.log_id, lease))

    def _refuse_same(self, plan: Plan, serving: Plan, base: Spec, version: int) -> None:
        learner = self.folds.new(plan).learner
        present = self.folds.new(Plan(spec=serving.spec or base)).learner
        if learner.fold_id == present.fold_id and plan.reads_as(serving, version):
            raise Misconfigured(
                "expected another model than the one that serves, received the same: name another --spec, "
                "a source to leave out, or a version to begin after"
            )

    def _control(self, action: str, plan: Plan, base: Spec, *, to: int | None = None, note: str) -> Control:
        return Control(
            action="rollback" if action == "rollback" else "promote",
            spec=plan.spec or base,
            base=base,
            to=to,
            left_out=plan.left_out,
            without=plan.without,
            previous=self.folds.log.counters().control,
            by=self._by,
            note=note,
            time_ms=self._clock_ms(),
        )

    def _append(self, control: Control, expected: Head, lease: Lease) -> int:
        control_id = f"{ID_PREFIX}{self._new_id()}"
        return self.folds.log.append_control(encode_control(control), control_id, expected, lease)

    def _advance(self, fold: Fold, to: int, head: Head, lease: Lease) -> None:
        advance(self.folds.log, fold, to, head, on_page=lambda fold: self._keep(lease, fold))

    def _keep(self, lease: Lease, fold: Fold) -> None:
        self._lock.renew(lease, LEASE_MS)
        if self._on_page is not None:
            self._on_page(fold)

    def _try_save(self, fold: Fold, log_id: str, lease: Lease) -> Snapshot | None:
        try:
            return self._save(fold, log_id, lease)
        except (Unavailable, Fenced, DamagedSnapshot, HistoryLost) as error:
            logger.warning("version %d is in force, but was not saved: %s", fold.version, error)
            return None

    def _save(self, fold: Fold, log_id: str, lease: Lease) -> Snapshot:
        learner = fold.learner
        captured = Captured(fold.version, fold.chain, log_id, learner.fold_id, fold.to_bytes())
        snapshot = describe(captured, self._load_learner)
        self._snapshots.save(snapshot, captured.data, lease)
        return snapshot

    @contextmanager
    def _lease(self, what: str) -> Iterator[Lease]:
        deadline = time.monotonic() + self._wait_s
        while (lease := self._lock.acquire(f"{what} by {self._by}", LEASE_MS)) is None:
            if time.monotonic() >= deadline:
                holder = self._lock.holder()
                raise Unavailable(
                    f"the version lock is held for '{holder.owner if holder else ''}': try again"
                )
            time.sleep(LOOK_EVERY_S)
        try:
            yield lease
        finally:
            self._lock.release(lease)


@contextmanager
def _in_force(version: int) -> Iterator[None]:
    """What goes wrong from here on comes after the entry, and says so."""
    try:
        yield
    except (Unavailable, Fenced, HistoryLost) as error:
        raise type(error)(
            f"version {version} entered the log, replicas will follow it; then: {error}"
        ) from error
