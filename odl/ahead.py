"""Learning many entries while the next are made ready: the same bits as one by one.

  page ──► check the chain, decode, encode ──► learn, compiled, in a thread of its own ──► score
  page ─────────────────► check the chain, decode, encode ──────────────────► learn ─────────► score

A batch ends before the first entry that is out of the ordinary: one that does not continue the chain, teaches
nothing, is refused, or brings something new. That one is taken by itself, after everything before it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odl.errors import InvalidEvent
from odl.event import Event, Features, Label, decode
from odl.learner import Learner, Predicted
from odl.log import Entry, next_chain

if TYPE_CHECKING:
    from odl.fold import Fold

BATCH_MIN = 4  # entries from which on a run through the learner's compiled code is quicker than one by one
AHEAD_MIN = 48  # events from which on handing over to a thread, some 50 us, is little beside learning them
BATCH_FIRST = 64  # entries made ready at once while nothing is being learned
BATCH_MAX = 256  # entries made ready at once, while a millisecond or two of learning is under way


@dataclass(frozen=True, slots=True)
class _Batch:
    """Entries that are being learned."""

    entries: Sequence[Entry]
    events: Sequence[Event]
    learning: "Future[Predicted | None]"  # None: not learned, since one before it was not learned whole

    def done(self) -> int:
        """How many of them were learned, when that is known."""
        predicted = self.learning.result()
        return len(predicted[1]) if predicted else 0


class Ahead:
    """Takes entries into a fold, up to two batches ahead of the learning. All of them are learned when its
    `with` ends; until then nobody else may use the fold."""

    def __init__(self, fold: "Fold") -> None:
        self._fold = fold
        self._version, self._chain = fold.version, fold.chain  # where the next entry has to continue
        self._under_way: deque[_Batch] = deque()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        while self._under_way:
            self._finish()

    def take(self, entries: Sequence[Entry]) -> None:
        """Take the next entries. Raises `HistoryLost` at the first one that does not continue the chain."""
        at = 0
        while at < len(entries):
            if len(self._under_way) > 1:
                self._finish()
            size = BATCH_MAX if self._under_way else BATCH_FIRST
            some = entries[at : at + size]
            at += self._take_batch(some) or self._take_one(some[0])

    def _take_batch(self, entries: Sequence[Entry]) -> int:
        """Take the first entries together; how many, 0 if they are too few."""
        if len(entries) < BATCH_MIN:
            return 0
        learner, events = self._fold.learner, list[Event]()
        ready = learner.prepare(self._examples(entries, events))
        count = len(ready)
        if count < BATCH_MIN:
            return 0
        entries, events = entries[:count], events[:count]
        if self._under_way or count >= AHEAD_MIN:
            before = self._under_way[-1] if self._under_way else None
            learning = self._fold.thread.submit(_learn, learner, ready, before)
        else:
            learning = Future()
            learning.set_result(learner.prequential_batch(ready))
        self._under_way.append(_Batch(entries, events, learning))
        self._version, self._chain = entries[-1].version, entries[-1].chain
        return count

    def _take_one(self, entry: Entry) -> int:
        while self._under_way:
            self._finish()
        self._fold.take(entry)
        self._version, self._chain = entry.version, entry.chain
        return 1

    def _examples(
        self, entries: Sequence[Entry], events: list[Event]
    ) -> Iterator[tuple[Features, Label, float]]:
        """What is to be learned from the first entries, which also go to `events`; ends before an entry that
        does not continue the chain, or teaches nothing."""
        version, chain, plan = self._version, self._chain, self._fold.plan
        for entry in entries:
            payload = entry.payload
            version, chain = version + 1, next_chain(chain, payload)
            if entry.version != version or entry.chain != chain:
                return
            if plan.left_out and plan.leaves_out(version):
                return
            try:
                event = decode(payload)
            except InvalidEvent:  # as of control entries, too
                return
            if event.retracts or event.source in plan.without:
                return
            events.append(event)
            yield event.x, event.y, event.weight

    def _finish(self) -> None:
        """Wait for the first batch under way, and score it. What it was not learned of, and all that was made
        ready after it, is taken one by one: it met something new, so what was made ready may not fit."""
        first = self._under_way[0]  # stays there until it is done, should waiting be interrupted
        predicted, done = first.learning.result(), first.done()
        self._under_way.popleft()
        if predicted is not None:
            self._fold.learned(first.entries[:done], first.events[:done], predicted)
        if done < len(first.entries):
            left = [*first.entries[done:], *(entry for batch in self._under_way for entry in batch.entries)]
            self._under_way.clear()
            for entry in left:
                self._fold.take(entry)


def _learn(learner: Learner, ready: Any, before: _Batch | None) -> Predicted | None:
    """Learn what was made ready, if it was right to assume that everything before it would be learned."""
    if before is not None and before.done() < len(before.entries):
        return None
    return learner.prequential_batch(ready)
