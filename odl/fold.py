"""The fold: what a log means. A learner, where it stands, and its scores; entry by entry, nothing else.

A replica and an offline replay both call `Fold.take_all` (or `take`, to watch each event), so there is one
definition of "learning the log".
A fold is made under one plan (odl.control), which says what teaches nothing; another plan is another fold,
made anew (`odl.folds`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from odl.ahead import Ahead
from odl.control import BASE, Plan, is_control
from odl.errors import HistoryLost, InvalidEvent
from odl.event import Event, Prediction, decode
from odl.learner import Learner, Predicted
from odl.log import CHAIN_START, Entry, next_chain
from odl.prequential import Prequential

LoadLearner = Callable[[bytes], Learner]

RECENT_MAX = 12  # events that a fold remembers for those who watch; what a page shows without scrolling


@dataclass(frozen=True, slots=True)
class Learned:
    """One event that was learned, for those who watch."""

    version: int
    event: Event
    prediction: Prediction  # made before learning


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bytes of a fold, in MessagePack."""

    learner: bytes
    chain: str
    skipped: int
    plan: Plan = BASE  # snapshots from before there were plans have none
    scores: Prequential


class Fold:
    """A learner after `version` entries of the log whose chain is `chain`."""

    def __init__(
        self,
        learner: Learner,
        chain: str = CHAIN_START,
        skipped: int = 0,
        scores: Prequential | None = None,
        plan: Plan = BASE,
    ) -> None:
        self.learner = learner
        self.version = learner.version
        self.chain = chain
        self.skipped = skipped  # entries that taught nothing, on every replica alike
        self.scores = scores or Prequential()  # of the events learned under this plan
        self.plan = plan
        self.recent: deque[Learned] = deque(maxlen=RECENT_MAX)  # learned last; no part of what is stored
        self._thread: ThreadPoolExecutor | None = None

    def take(self, entry: Entry) -> Learned | None:
        """Take the next entry; None if it taught nothing (undecodable, refused by the learner, left out by
        the plan, or a control entry: whoever folds looks for those first). Raises `HistoryLost` unless the
        entry continues this fold's chain."""
        self.check(entry)
        learned = self._learn(entry)
        if learned is None:
            self.learner.skip_one()
            self.skipped += 1
        self.version, self.chain = entry.version, entry.chain
        return learned

    def check(self, entry: Entry) -> None:
        """Raise `HistoryLost` unless the entry continues this fold's chain."""
        chain = next_chain(self.chain, entry.payload)
        if entry.version != self.version + 1 or entry.chain != chain:
            raise HistoryLost(
                f"the log is damaged: expected version {self.version + 1} with chain {chain[:12]}, "
                f"received version {entry.version} with chain {entry.chain[:12]}"
            )

    def pass_to(self, version: int, chain: str) -> None:
        """Pass all entries up to `version`, where the log's chain is `chain`: none of them teaches anything.
        Whoever calls this knows that they continue this fold's history."""
        for _ in range(version - self.version):
            self.learner.skip_one()
        self.skipped += version - self.version
        self.version, self.chain = version, chain

    def take_all(self, entries: Sequence[Entry]) -> None:
        """`take` each of the next entries, with nobody watching: the same bits, but the learner is handed
        many events at once. Raises `HistoryLost` at the first entry that does not continue the chain."""
        self.take_pages([entries])

    def take_pages(self, pages: Iterable[Sequence[Entry]]) -> None:
        """`take_all` of one page after the other: the next one is fetched while events of the last are
        learned, so `version` may be behind what was fetched. All is learned when this returns or raises."""
        with Ahead(self) as ahead:
            for page in pages:
                ahead.take(page)

    @property
    def thread(self) -> ThreadPoolExecutor:
        """One that learns while the caller's makes more ready; there from the first time on."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "learn ahead")
        return self._thread

    def learned(self, entries: Sequence[Entry], events: Sequence[Event], predicted: Predicted) -> None:
        """Note that the learner has learned the next entries, which hold `events`."""
        classes, rows = predicted
        if any(event.prediction is not None for event in events):
            for event, prediction in zip(events, _predictions(classes, rows), strict=True):
                self._score(event, prediction)
        else:
            weights = [event.weight for event in events]
            self.scores.update_many(classes, rows, [event.y for event in events], weights)
        last = slice(-RECENT_MAX, None)
        for entry, event, prediction in zip(
            entries[last], events[last], _predictions(classes, rows[last]), strict=True
        ):
            self.recent.append(Learned(entry.version, event, prediction))
        if entries:
            self.version, self.chain = entries[-1].version, entries[-1].chain

    def _learn(self, entry: Entry) -> Learned | None:
        """Limits of odl.event are not checked here: changing one must not change what a log means."""
        learner, plan = self.learner, self.plan
        if plan.leaves_out(entry.version) or is_control(entry.payload):
            return None
        try:
            event = decode(entry.payload)
            if event.retracts or event.source in plan.without:
                return None
            prediction = learner.prequential_one(event.x, event.y, event.weight)
        except InvalidEvent:
            return None
        except ValueError:
            if learner.version != self.version:
                raise  # the learner changed before it refused: its state cannot be trusted
            return None
        self._score(event, prediction)
        learned = Learned(entry.version, event, prediction)
        self.recent.append(learned)
        return learned

    def _score(self, event: Event, prediction: Prediction) -> None:
        """By the prediction that was served for the event, where the log holds it, else by the one that was
        made before learning. A served one of another kind (a number for a class) is not one of ours."""
        served = event.prediction
        if served is not None and isinstance(served, dict) == isinstance(prediction, dict):
            prediction = served
        self.scores.update(prediction, event.y, event.weight)

    def to_bytes(self) -> bytes:
        """The whole fold; `from_bytes` continues bit for bit, scores included."""
        stored = _Stored(
            learner=self.learner.to_bytes(),
            chain=self.chain,
            skipped=self.skipped,
            plan=self.plan,
            scores=self.scores,
        )
        return msgspec.msgpack.encode(stored)

    @classmethod
    def from_bytes(cls, data: bytes, load_learner: LoadLearner) -> "Fold":
        """The fold of these bytes. Raises `ValueError` for damaged bytes."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{len(data)} bytes that are not a fold: {error}") from error
        return cls(load_learner(stored.learner), stored.chain, stored.skipped, stored.scores, stored.plan)


def _predictions(classes: Sequence[str], rows: npt.NDArray[np.float64]) -> list[Prediction]:
    if not classes:
        return [row[0] for row in rows.tolist()]
    return [dict(zip(classes, row, strict=True)) for row in rows.tolist()]
