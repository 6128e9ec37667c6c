"""What the tests of this folder stand on: a data plane in memory, and serving processes on a real Redis."""

import contextlib
import functools
import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from hedge_model.spec import ModelSpec
from odl.event import Features, Label, Prediction
from odl.feedback import DirectSink
from odl.learner import Predicted
from odl.memory import MemoryLog
from odl.replica import Replica
from seldon.plane import DataPlane
from seldon.service import Service

sys.path.insert(0, str(Path(__file__).parents[1] / "odl"))  # its stand-ins for learners, logs and networks
START_S_MAX = 300.0  # the first process on a machine compiles the kernel; a test machine may be busy
STOP_S_MAX = 30.0
SPEC = ModelSpec(
    task="binary", classes=("on time", "late"), fields={"origin": "category", "distance": "number"}
)
MODEL = """
[model]
task = "binary"
classes = ["on time", "late"]
fields = { origin = "category", distance = "number" }
hidden_layers = 2
width = 16
"""


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

    def prepare(self, events: Iterable[tuple[Features, Label, float]]) -> list[Any]:
        return []  # one by one

    def prequential_batch(self, batch: list[Any]) -> Predicted:
        raise AssertionError("nothing was prepared")

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
def counting() -> type[CountingLearner]:
    """The learner of `bench`."""
    return CountingLearner


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
        "flights",
        bench.replica,
        bench.plane,
        ExitStack(),
        task="binary",
        fields={"origin": "category", "distance": "number"},
        classes=SPEC.classes,
    )


@dataclass(frozen=True)
class Serving:
    """A process that answers at `url`."""

    process: subprocess.Popen[str]
    url: str

    def post(self, path: str, message: object) -> httpx.Response:
        return httpx.post(self.url + path, json=message, timeout=30)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def serving(model: Path, redis_url: str, *arguments: str) -> Iterator[Serving]:
    """`odl serve` on a port that it picks; ended whatever happens."""
    command = [sys.executable, "-m", "odl", "serve", "--model", str(model), "--redis", redis_url]
    env = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    with subprocess.Popen(
        [*command, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            url = _first_line(process).split(" at ")[-1].strip()
            yield Serving(process, url)
        finally:
            Serving(process, "").stop()


@pytest.fixture(scope="session")
def shared_server(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that tests share which neither end it nor mind what others taught it."""
    path = tmp_path_factory.mktemp("shared") / "model.toml"
    path.write_text(f'name = "shared"\n{MODEL}')
    with serving(path, valkey_url) as server:
        yield server


@pytest.fixture
def model_file(tmp_path: Path, model_name: str) -> Path:
    """The file of a small model whose log nobody else uses."""
    path = tmp_path / "model.toml"
    path.write_text(f'name = "{model_name}"\n{MODEL}')
    return path


@pytest.fixture
def serve_on(model_file: Path) -> Iterator[Callable[..., Serving]]:
    """Starts servers of `model_file`, each on the Redis it is given."""
    with contextlib.ExitStack() as started:
        yield lambda *arguments: started.enter_context(serving(model_file, *arguments))


@pytest.fixture
def serve(serve_on: Callable[..., Serving], valkey_url: str) -> Callable[..., Serving]:
    """The same on the shared Redis."""
    return functools.partial(serve_on, valkey_url)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(START_S_MAX), "the server printed nothing"
    return process.stdout.readline()
