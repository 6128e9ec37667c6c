"""A learner that is a hash chain: any lost, doubled or swapped event shows in its digest at once."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from odl.event import Features, Label, Prediction
from odl.learner import Predicted

CLASSES = ("no", "yes")


class HashSchema:
    """Accepts every feature but `poison`, and the two classes."""

    def check_features(self, x: Features) -> None:
        if "poison" in x:
            raise ValueError("expected no 'poison'")

    def check_label(self, y: Label) -> None:
        if y not in CLASSES:
            raise ValueError(f"expected 'no' or 'yes', received {y!r}")


class HashLearner:
    """Keeps one digest over everything it learned; a prediction is a hash of that digest and the row."""

    schema = HashSchema()

    def __init__(self, state: str = "", version: int = 0, fold_id: str = "hash-1") -> None:
        self.state = state
        self._version = version
        self.fold_id = fold_id

    @property
    def version(self) -> int:
        return self._version

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        self.schema.check_features(x)
        row = json.dumps([self.state, x], sort_keys=True).encode()
        yes = hashlib.sha256(row).digest()[0] / 255
        return {"no": 1 - yes, "yes": yes}

    def predict_one(self, x: Features) -> Prediction:
        return self.predict_proba_one(x)

    def learn_one(self, x: Features, y: Label, weight: float = 1.0) -> None:
        self.schema.check_features(x)
        self.schema.check_label(y)
        self._pass([x, y, weight])

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        prediction = self.predict_one(x)
        self.learn_one(x, y, weight)
        return prediction

    def prepare(self, events: Iterable[tuple[Features, Label, float]]) -> Sequence[Any]:
        return ()  # one by one

    def prequential_batch(self, batch: Sequence[Any]) -> Predicted:
        rows = [list(self.prequential_one(*event).values()) for event in batch]
        return CLASSES, np.array(rows).reshape(len(rows), len(CLASSES))

    def skip_one(self) -> None:
        self._pass("skip")

    def _pass(self, what: object) -> None:
        link = json.dumps([self.state, what], sort_keys=True).encode()
        self.state = hashlib.sha256(link).hexdigest()
        self._version += 1

    def depth_weights(self) -> list[float]:
        return []

    def to_bytes(self) -> bytes:
        return json.dumps([self.state, self._version, self.fold_id]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "HashLearner":
        return cls(*json.loads(data))

    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()
