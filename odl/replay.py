"""An offline fold of the log, independent of every replica: audit, time travel, a source left out."""

from collections.abc import Callable
from dataclasses import dataclass

from odl.errors import HistoryLost, Misconfigured
from odl.fold import Fold, Learned
from odl.learner import Learner
from odl.log import Log
from odl.prequential import Scores

PAGE = 1_000  # entries a read; at 0.2 KB each, small beside what a server answers anyway

OnEvent = Callable[[Learned, Learner], None]  # an event just learned, and the learner after it


@dataclass(frozen=True, slots=True)
class Replayed:
    """What an offline fold came to."""

    version: int  # of the log; entries that were left out count, as entries that teach nothing
    chain: str  # of the whole log at that version, whatever was left out
    digest: str  # of the learner; differs from the replicas' when a source was left out
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
    on_event: OnEvent | None = None,
    start: Fold | None = None,
) -> Replayed:
    """Fold the log from its beginning (or from `start`, the fold of a snapshot) to version `to` (the head
    at the call), checking the chain at every entry and leaving out the sources in `without`.

    Raises `Misconfigured` for a version outside the log, `HistoryLost` when the log is damaged, begins
    later than the fold, or changed its history meanwhile.
    """
    fold = start or Fold(new_learner())
    head = log.head()
    target = head.version if to is None else to
    if not fold.version <= target <= head.version:
        raise Misconfigured(f"expected a version from {fold.version} to {head.version}, received {target}")
    while True:
        part = log.read(fold.version, min(PAGE, max(target - fold.version, 1)))
        if part.head.log_id != head.log_id:
            raise HistoryLost("the log was created anew during the replay: replay again")
        entries = part.entries
        if fold.version and entries and entries[0].version == fold.version:
            if entries[0].chain != fold.chain:
                raise HistoryLost(f"the log's history changed at version {fold.version}: replay again")
            entries = entries[1:]
        if fold.version == part.head.version and part.head.chain != fold.chain:
            raise HistoryLost(f"the log's history changed at version {fold.version}: replay again")
        if fold.version >= target:
            break
        if not entries or entries[0].version > fold.version + 1:
            raise HistoryLost(f"the log no longer holds version {fold.version + 1}: replay from a snapshot")
        for entry in entries:
            learned = fold.take(entry, without)
            if learned is not None and on_event is not None:
                on_event(learned, fold.learner)
    return Replayed(
        version=fold.version,
        chain=fold.chain,
        digest=fold.learner.digest(),
        events=fold.version - fold.skipped,
        skipped=fold.skipped,
        scores=fold.scores.scores(),
        learner=fold.learner,
    )
