"""A data plane over a real replica on a log in memory, with a learner small enough to check by hand."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from hedge_model.spec import ModelSpec
from odl.event import Features, Label, Prediction
from odl.feedback import DirectSink
from odl.memory import MemoryLog
from odl.replica import Replica
from seldon.plane import DataPlane
from seldon.service import Service

SPEC = ModelSpec(
    task="binary", classes=("on time", "late"), fields={"origin": "category", "distance": "number"}
)


class CountingLearner:
    """Predicts how often each class was seen, whatever the features (Laplace-smoothed)."""

    fold_id = "counting"
    schema = SPEC

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self.counts = counts or dict.fromkeys(SPEC.classes, 0)

    @property
    def version(self) -> int:
        return sum(self.counts.values())

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        total = self.version + len(SPEC.classes)
        return {name: (self.counts[name] + 1) / total for name in SPEC.classes}

    def predict_one(self, x: Features) -> Prediction:
        return self.predict_proba_one(x)

    def learn_one(self, x: Features, y: Label, weight: float = 1.0) -> None:
        self.counts[SPEC.class_name(y)] += 1

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        prediction = self.predict_one(x)
        self.learn_one(x, y, weight)
        return prediction

    def depth_weights(self) -> list[float]:
        return []

    def skip_one(self) -> None:
        self.counts["skipped"] = self.counts.get("skipped", 0) + 1

    def to_bytes(self) -> bytes:
        return json.dumps(self.counts).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "CountingLearner":
        return cls(json.loads(data))

    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True)
class Bench:
    """A plane and what it stands on."""

    plane: DataPlane
    log: MemoryLog
    replica: Replica


@pytest.fixture
def bench() -> Iterator[Bench]:
    log = MemoryLog()
    log.create()
    with Replica(CountingLearner, CountingLearner.from_bytes, log, replica_id="test") as replica:
        sink = DirectSink(log, "memory")
        plane = DataPlane(replica, sink, names=("origin", "distance"), clock_ms=lambda: 1_000)
        yield Bench(plane, log, replica)


@pytest.fixture
def service(bench: Bench) -> Service:
    return Service(
        "flights", bench.replica, bench.plane, ExitStack(), inputs=["origin", "distance"], task="binary"
    )
