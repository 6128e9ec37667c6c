"""The fold: what a log means. A learner, where it stands, and its scores; entry by entry, nothing else.

A replica and an offline replay both call `Fold.take`, so there is one definition of "learning the log".
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from odl.errors import HistoryLost, InvalidEvent
from odl.event import Event, Prediction, decode
from odl.learner import Learner
from odl.log import CHAIN_START, Entry, next_chain
from odl.prequential import Prequential

LoadLearner = Callable[[bytes], Learner]


@dataclass(frozen=True, slots=True)
class Learned:
    """One event that was learned, for those who watch."""

    version: int
    event: Event
    prediction: Prediction  # made before learning


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bytes of a fold, in MessagePack."""

    learner: bytes
    chain: str
    skipped: int
    scores: Prequential


class Fold:
    """A learner after `version` entries of the log whose chain is `chain`."""

    def __init__(
        self, learner: Learner, chain: str = CHAIN_START, skipped: int = 0, scores: Prequential | None = None
    ) -> None:
        self.learner = learner
        self.version = learner.version
        self.chain = chain
        self.skipped = skipped  # entries that taught nothing, on every replica alike
        self.scores = scores or Prequential()

    def take(self, entry: Entry, without: frozenset[str] = frozenset()) -> Learned | None:
        """Take the next entry; None if it taught nothing (undecodable, refused by the learner, or of a
        source in `without`). Raises `HistoryLost` unless the entry continues this fold's chain."""
        chain = next_chain(self.chain, entry.payload)
        if entry.version != self.version + 1 or entry.chain != chain:
            raise HistoryLost(
                f"the log is damaged: expected version {self.version + 1} with chain {chain[:12]}, "
                f"received version {entry.version} with chain {entry.chain[:12]}"
            )
        learned = self._learn(entry, without)
        if learned is None:
            self.learner.skip_one()
            self.skipped += 1
        self.version, self.chain = entry.version, chain
        return learned

    def _learn(self, entry: Entry, without: frozenset[str]) -> Learned | None:
        """Limits of odl.event are not checked here: changing one must not change what a log means."""
        learner = self.learner
        try:
            event = decode(entry.payload)
            if event.source in without:
                return None
            prediction = learner.prequential_one(event.x, event.y, event.weight)
        except InvalidEvent:
            return None
        except ValueError:
            if learner.version != self.version:
                raise  # the learner changed before it refused: its state cannot be trusted
            return None
        self.scores.update(prediction, event.y, event.weight)
        return Learned(entry.version, event, prediction)

    def to_bytes(self) -> bytes:
        """The whole fold; `from_bytes` continues bit for bit, scores included."""
        return msgspec.msgpack.encode(_Stored(self.learner.to_bytes(), self.chain, self.skipped, self.scores))

    @classmethod
    def from_bytes(cls, data: bytes, load_learner: LoadLearner) -> "Fold":
        """The fold of these bytes. Raises `ValueError` for damaged bytes."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{len(data)} bytes that are not a fold: {error}") from error
        return cls(load_learner(stored.learner), stored.chain, stored.skipped, stored.scores)
