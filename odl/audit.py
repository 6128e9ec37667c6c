"""What one entry of the log meant: what was learned then, from where, and what was predicted before it."""

from dataclasses import dataclass

from odl.control import Control, Plan, control_of, is_control
from odl.errors import HistoryLost, InvalidEvent, Misconfigured
from odl.event import CORRECTIONS_MAX, Event, Prediction, change_id, decode
from odl.fold import Fold
from odl.folds import Folds
from odl.log import Entry, Log
from odl.replay import OnPage, fold_at


@dataclass(frozen=True, slots=True)
class Explained:
    """One entry, as replicas took it."""

    version: int
    chain: str  # of the log up to and with this entry
    plan: Plan  # under which the model was folded before it
    fold_id: str  # of the learner before it
    digest: str  # of the learner before it
    event: Event | None  # None: a control entry, or bytes that nobody can read
    control: Control | None  # a rollback or promotion
    prediction: Prediction | None  # before it was learned; None if nothing was learned
    learned: bool
    why_not: str  # empty if it was learned
    corrected_by: list[int]  # versions of the entries that correct or retract this one
    left_out_since: int  # the control entry whose plan, in force now, leaves it out; 0 if it counts


def explain(folds: Folds, version: int, on_page: OnPage | None = None) -> Explained:
    """Fold the log to the version before, and take the entry. Raises `Misconfigured` for a version that the
    log does not have, `HistoryLost` if it was trimmed below what this needs."""
    head = folds.log.head()
    if not 1 <= version <= head.version:
        raise Misconfigured(f"expected a version from 1 to {head.version}, received {version}")
    fold = fold_at(folds, version - 1, on_page=on_page)
    entry = next((e for e in folds.log.read(version - 1, 1).entries if e.version == version), None)
    if entry is None:
        raise HistoryLost(f"the log no longer holds version {version}: it was trimmed")
    digest, fold_id = fold.learner.digest(), fold.learner.fold_id
    taken = fold.take(entry)
    return Explained(
        version=version,
        chain=entry.chain,
        plan=fold.plan,
        fold_id=fold_id,
        digest=digest,
        event=_event_of(entry),
        control=control_of(entry.payload),
        prediction=taken.prediction if taken else None,
        corrected_by=_corrected_by(folds.log, entry),
        learned=taken is not None,
        why_not="" if taken else _why_not(entry, fold),
        left_out_since=_left_out_since(folds.plan_at(head.version), entry),
    )


def _corrected_by(log: Log, entry: Entry) -> list[int]:
    event = _event_of(entry)
    if event is None or event.corrects or event.retracts:
        return []
    found = log.find([change_id(event.id, number) for number in range(CORRECTIONS_MAX + 1)])
    return sorted(version for version in found if version is not None)


def _left_out_since(plan: Plan, entry: Entry) -> int:
    event = _event_of(entry)
    if event is None:
        return 0
    is_left_out = plan.leaves_out(entry.version) or event.source in plan.without
    return plan.since if is_left_out else 0


def _event_of(entry: Entry) -> Event | None:
    try:
        return None if is_control(entry.payload) else decode(entry.payload)
    except InvalidEvent:
        return None


def _why_not(entry: Entry, fold: Fold) -> str:
    """Why an entry taught nothing; `fold` has just passed it."""
    if is_control(entry.payload):
        return "a control entry teaches nothing itself"
    if fold.plan.leaves_out(entry.version):
        return f"left out by the control entry at version {fold.plan.since}"
    event = _event_of(entry)
    if event is None:
        return "not an event: its bytes cannot be read"
    if event.retracts:
        return f"a retraction teaches nothing: it withdraws the label of version {event.retracts}"
    if event.source in fold.plan.without:
        return f"its source is left out since version {fold.plan.since}"
    try:
        fold.learner.schema.check_features(event.x)
        fold.learner.schema.check_label(event.y)
    except ValueError as error:
        return str(error)
    return "the learner refused it"
