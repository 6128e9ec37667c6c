"""An offline fold of the log, independent of every replica: audit, time travel, a source left out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from odl.control import Plan
from odl.errors import HistoryLost, Misconfigured
from odl.fold import Fold, Learned
from odl.folds import Folds, LearnerOf
from odl.learner import Learner
from odl.log import Entry, Head, Log
from odl.prequential import Scores
from odl.reading import begin

PAGE = 1_000  # entries a read; at 0.2 KB each, small beside what a server answers anyway

OnEvent = Callable[[Learned, Learner], None]  # an event just learned, and the learner after it
OnPage = Callable[[Fold], None]  # after every read, for those who hold a lease or show progress


@dataclass(frozen=True, slots=True)
class Replayed:
    """What an offline fold came to."""

    version: int  # of the log; entries that were left out count, as entries that teach nothing
    chain: str  # of the whole log at that version, whatever was left out
    digest: str  # of the learner; differs from the replicas' when the plan is not theirs
    fold_id: str  # of the learner
    events: int  # events learned
    skipped: int  # entries that taught nothing, those left out included
    scores: Scores
    learner: Learner


def replay(
    log: Log,
    new_learner: Callable[[], Learner],
    *,
    to: int | None = None,
    without: frozenset[str] = frozenset(),
    plan: Plan | None = None,
    learner_of: LearnerOf | None = None,
    on_event: OnEvent | None = None,
    on_page: OnPage | None = None,
    start: Fold | None = None,
) -> Replayed:
    """Fold the log from its beginning (or from `start`, the fold of a snapshot) to version `to` (the head
    at the call), checking the chain at every entry.

    It is folded under the plan that is in force at `to`, as replicas do, or under another `plan`; either
    way the sources in `without` are left out, too. `learner_of` makes the learner of a promotion.

    Raises `Misconfigured` for a version outside the log, `HistoryLost` when the log is damaged, begins
    later than the fold, or changed its history meanwhile.
    """
    head = log.head()
    target = head.version if to is None else to
    folds = Folds(new_learner, _no_snapshot, log, None, learner_of)
    lowest = start.version if start else 0
    if not lowest <= target <= head.version:
        raise Misconfigured(f"expected a version from {lowest} to {head.version}, received {target}")
    if plan is None:
        plan = folds.plan_at(target)
    if without:
        plan = Plan(plan.spec, plan.left_out, tuple(sorted({*plan.without, *without})), plan.since)
    fold = start or folds.new(plan)
    if fold.plan.without != plan.without or fold.plan.left_out != plan.left_out:
        raise Misconfigured(f"the fold of version {fold.version} was made under another plan: replay without")
    advance(log, fold, target, head, on_event=on_event, on_page=on_page)
    return outcome(fold)


def outcome(fold: Fold) -> Replayed:
    """What a fold came to."""
    return Replayed(
        version=fold.version,
        chain=fold.chain,
        digest=fold.learner.digest(),
        fold_id=fold.learner.fold_id,
        events=fold.version - fold.skipped,
        skipped=fold.skipped,
        scores=fold.scores.scores(),
        learner=fold.learner,
    )


def fold_at(folds: Folds, version: int, *, on_page: OnPage | None = None) -> Fold:
    """The model as it was at a version, from the nearest snapshot or the log's beginning. Raises
    `Misconfigured` for a version outside the log, `HistoryLost` if it was trimmed below what this needs."""
    head = folds.log.head()
    if not 0 <= version <= head.version:
        raise Misconfigured(f"expected a version from 0 to {head.version}, received {version}")
    fold = folds.begin(folds.plan_at(version), version, head.log_id)
    advance(folds.log, fold, version, head, on_page=on_page)
    return fold


def advance(
    log: Log,
    fold: Fold,
    to: int,
    head: Head,
    *,
    on_event: OnEvent | None = None,
    on_page: OnPage | None = None,
) -> None:
    """Take everything up to version `to` of the history that `head` was seen on, under the fold's plan.
    Raises `HistoryLost` as `replay` does."""
    pages = _pages(log, fold, to, head)
    if on_event is None:
        fold.take_pages(_told(pages, fold, on_page))
    else:
        for page in _told(pages, fold, on_page):
            for entry in page:
                learned = fold.take(entry)
                if learned is not None:
                    on_event(learned, fold.learner)
    if on_page is not None:
        on_page(fold)


def _told(pages: Iterable[list[Entry]], fold: Fold, on_page: OnPage | None) -> Iterator[list[Entry]]:
    for number, page in enumerate(pages):
        if number and on_page is not None:
            on_page(fold)
        yield page


def _pages(log: Log, fold: Fold, to: int, head: Head) -> Iterator[list[Entry]]:
    """The entries after the fold's version; ends at `to`. The fold need not have learned one page when the
    next is asked for."""
    version, chain = fold.version, fold.chain
    part = log.read(version, min(PAGE, max(to - version, 1)))
    while True:
        if part.head.log_id != head.log_id:
            raise HistoryLost("the log was created anew during the replay: replay again")
        entries = part.entries
        if version and entries and entries[0].version == version:
            if entries[0].chain != chain:
                raise HistoryLost(f"the log's history changed at version {version}: replay again")
            entries = entries[1:]
        if version == part.head.version and part.head.chain != chain:
            raise HistoryLost(f"the log's history changed at version {version}: replay again")
        if version >= to:
            return
        if not entries or entries[0].version > version + 1:
            raise HistoryLost(f"the log no longer holds version {version + 1}: replay from a snapshot")
        version, chain = entries[-1].version, entries[-1].chain
        coming = begin(log, part, version, min(PAGE, max(to - version, 1)))
        try:
            yield entries
            part = coming.get()
        finally:
            coming.drop()


def _no_snapshot(data: bytes) -> Learner:
    raise ValueError(f"a replay reads no snapshots, received {len(data)} bytes of one")
