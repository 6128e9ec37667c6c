"""What `odl` asks of a learner. The core is generic over it: a hash chain can stand in for the network."""

from collections.abc import Iterable, Sequence, Sized
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from odl.event import Features, Label, Prediction

# Class names and the probabilities of each event learned, [n, C]; no names and [n, 1] for a regression.
Predicted: TypeAlias = tuple[Sequence[str], npt.NDArray[np.float64]]


class Schema(Protocol):
    """Which events a model accepts; known without learning anything, so consumers need no learner."""

    def check_features(self, x: Features) -> None:
        """Raise `ValueError` (one clear sentence) unless `x` can be predicted."""

    def check_label(self, y: Label) -> None:
        """Raise `ValueError` (one clear sentence) unless `y` can be learned."""


class Learner(Protocol):
    """A deterministic fold: the same events in the same order give the same bytes."""

    @property
    def version(self) -> int:
        """Number of log entries learned."""

    @property
    def fold_id(self) -> str:
        """Identity of the arithmetic: spec hash + kernel revision."""

    @property
    def schema(self) -> Schema:
        """What the learner accepts."""

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Class -> probability (sums to 1). Changes nothing."""

    def predict_one(self, x: Features) -> Prediction:
        """Class -> probability for classifiers, a number for regression. Changes nothing."""

    def learn_one(self, x: Features, y: Label, weight: float = 1.0) -> None:
        """Learn one event: version + 1."""

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        """Test-then-train in one pass: the prediction before learning. The same bits as the two calls."""

    def prepare(self, events: Iterable[tuple[Features, Label, float]]) -> Sized:
        """The first events (x, y, weight), as many as can be learned at once, made ready for
        `prequential_batch`; maybe none. Ends before an event that would be refused, at the latest. Another
        thread may be learning the batch before this one, of which every event is assumed to be learned."""

    def prequential_batch(self, batch: Any) -> Predicted:
        """`prequential_one` of the events of a batch that was prepared: the same bits. It may end before the
        last one; then what was prepared after it is of no use."""

    def depth_weights(self) -> list[float]:
        """Weight of each depth in the prediction, sums to 1; empty if the learner has no depths."""

    def skip_one(self) -> None:
        """Pass an entry that teaches nothing (a control entry, an undecodable payload): version + 1."""

    def to_bytes(self) -> bytes:
        """The whole state. `from_bytes(to_bytes())` continues bit for bit."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A learner of these bytes. Raises `ValueError` for damaged bytes."""

    def digest(self) -> str:
        """Hex digest of the state; equal digests, equal bits."""
