"""How fast is the learner, and against what?

Questions: what does one learn step cost against plain SGD of the same shapes and against moving the weights
through memory; what do Python, dicts and batches add; does the cost of categories depend on the table's size;
how long until a process is ready; what does a snapshot cost against a memcpy.

Every ratio is measured side by side in one run, best of several. `python benchmarks/kernel.py [--json FILE]`
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.kernel.compiled import entry
from hedge_model.kernel.fold import LEARN, fold
from hedge_model.kernel.lanes import load, splat, store, total
from hedge_model.portable import export

EVENTS = 2_000
REPEATS = 15
FIELDS = 28
CLASSES = ("0", "1")
START = """
import sys, time
start = time.perf_counter()
"""
LEARNER_READY = """
from hedge_model import HedgeLearner, ModelSpec
learner = HedgeLearner(ModelSpec(classes=("0", "1")))
learner.learn_one({"f": 1.0}, "1")
learner.predict_one({"f": 1.0})
"""
EXPORTED_READY = """
from hedge_model.portable import PortableModel
PortableModel.load(sys.argv[1]).predict_one({"0": 1.0})
"""
END = """
seconds = time.perf_counter() - start
import json, re
megabytes = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([seconds, megabytes, "tensorflow" in sys.modules]))
"""


def best_us(work: Callable[[], Any], count: int = 1) -> float:
    """Microseconds of one of the `count` things that `work` does: processor time, best of several runs."""
    work()
    return min(_seconds(work) for _ in range(REPEATS)) / count * 1e6


def _seconds(work: Callable[[], Any]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _times(count: int, work: Callable[[], Any]) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


class Case:
    """A learner that has seen the stream once, and ways to learn it again."""

    def __init__(self, **settings: Any) -> None:
        random = np.random.default_rng(0)
        self.X = random.standard_normal((EVENTS, FIELDS)).astype(np.float32)
        self.y = (self.X[:, 0] * self.X[:, 1] + self.X[:, 2] > 0).astype(np.int64)
        self.dicts = [{str(j): v for j, v in enumerate(row)} for row in self.X.tolist()]
        self.labels = [CLASSES[k] for k in self.y]
        self.learner = HedgeLearner(ModelSpec(task="binary", classes=CLASSES, **settings))
        self.learner.learn_many(self.X, self.y)

    def bare(self) -> float:
        """µs per event of the compiled loop alone."""
        inner = self.learner._fold
        fields = inner.state.shape.fields.copy()
        fields[:, 3] = [int(name) for name in inner.encoder.slots]
        events, labels = self.X.astype(np.float64), self.y.astype(np.float64)
        ones, out = np.ones(EVENTS), np.zeros((EVENTS, 2))
        flat = fields.reshape(-1)
        return best_us(lambda: fold(LEARN, *inner._arrays, 0, flat, events, -1, labels, ones, out), EVENTS)

    def many(self) -> float:
        """µs per event of `learn_many`."""
        return best_us(lambda: self.learner.learn_many(self.X, self.y), EVENTS)

    def one(self) -> float:
        """µs per call of `learn_one` with a dict."""

        def work() -> None:
            learn_one = self.learner.learn_one
            for x, y in zip(self.dicts, self.labels, strict=True):
                learn_one(x, y)

        return best_us(work, EVENTS)

    def predict(self) -> float:
        """µs per call of `predict_one` with a dict."""

        def work() -> None:
            for x in self.dicts:
                self.learner.predict_one(x)

        return best_us(work, EVENTS)


@entry
def _traffic(weights, times):  # type: ignore[no-untyped-def]
    """Read all weights twice and write them once, `times` times."""
    kept = np.float32(0.0)
    for _ in range(times):
        for _ in range(2):
            a = b = c = d = splat(np.float32(0.0))
            for j in range(0, weights.size - 63, 64):
                a, b = a + load(weights, j), b + load(weights, j + 16)
                c, d = c + load(weights, j + 32), d + load(weights, j + 48)
            kept += total(a + b + c + d)
        value = splat(kept * np.float32(1e-30))
        for j in range(0, weights.size - 15, 16):
            store(weights, j, value)
    return kept


def memory_bound(weights: int) -> float:
    """µs to read that many float32 twice and write them once."""
    buffer = np.full(weights // 64 * 64, 1e-6, np.float32)
    return best_us(lambda: _traffic(buffer, 100), 100)


def steps() -> dict[str, float]:
    """Learn steps."""
    default, paper = Case(), Case(preset="paper")
    plain = Case(preset="paper", hidden_layers=3, ramps=16)
    network = Case(window=0)
    small = Case(preset="paper", hidden_layers=5)
    figures = {
        "default 3x100, us": default.bare(),
        "plain SGD, same shapes, us": plain.bare(),
        "default without experts, us": network.bare(),
        "paper 20x100, us": paper.bare(),
        "paper 5x100, us": small.bare(),
        "default: learn_many, us": default.many(),
        "default: learn_one(dict of 28), us": default.one(),
        "default: predict_one(dict of 28), us": default.predict(),
        "default: memory bound, us": memory_bound(_weights(default)),
        "paper 20x100: memory bound, us": memory_bound(_weights(paper)),
    }
    for over, under, name in (
        ("default 3x100, us", "plain SGD, same shapes, us", "default over plain SGD (goal 2)"),
        ("default 3x100, us", "default without experts, us", "default over its network alone"),
        (
            "default without experts, us",
            "default: memory bound, us",
            "its network over memory bound (goal 2.5)",
        ),
        ("paper 20x100, us", "paper 20x100: memory bound, us", "paper 20x100 over memory bound (goal 2.5)"),
        ("default: learn_many, us", "default 3x100, us", "learn_many over bare loop (goal 1.1)"),
        ("default: learn_one(dict of 28), us", "default 3x100, us", "learn_one over kernel (goal 2)"),
    ):
        figures[name] = figures[over] / figures[under]
    return figures


def _weights(case: Case) -> int:
    return sum(array.size for name, array in case.learner.weights().items() if "kernel" in name)


def categories() -> dict[str, float]:
    """Ten active categories of a small and of a large table."""
    random = np.random.default_rng(0)
    names = [f"c{j}" for j in range(10)]
    events = [dict(zip(names, map(str, row), strict=True)) for row in random.integers(0, 5_000, (EVENTS, 10))]
    found = {}
    for bits in (10, 18):
        spec = ModelSpec(
            task="binary", classes=CLASSES, width=64, hash_bits=bits, fields=dict.fromkeys(names, "category")
        )
        learner = HedgeLearner(spec)

        def work(learner: HedgeLearner = learner) -> None:
            for number, x in enumerate(events):
                learner.learn_one(x, CLASSES[number % 2])

        found[bits] = best_us(work, EVENTS)
    return {
        "10 categories of 2^10 rows, us": found[10],
        "10 categories of 2^18 rows, us": found[18],
        "2^18 over 2^10 rows (goal 1.2)": found[18] / found[10],
    }


def snapshots() -> dict[str, float]:
    """Bytes of the paper's network, 0.8 MB."""
    learner = Case(preset="paper").learner
    data = learner.to_bytes()
    source = np.frombuffer(data, np.uint8)
    copy = best_us(_times(50, source.copy), 50)
    out = best_us(_times(50, learner.to_bytes), 50)
    back = best_us(_times(50, lambda: HedgeLearner.from_bytes(data)), 50)
    return {
        "snapshot, MB": len(data) / 1e6,
        "memcpy of it, us": copy,
        "to_bytes, us": out,
        "from_bytes, us": back,
        "to_bytes over memcpy (goal 3)": out / copy,
        "from_bytes over memcpy (goal 3)": back / copy,
    }


def ready() -> dict[str, float]:
    """Fresh processes: the learner with a warm cache of compiled code, and an exported model without it."""
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/model.npz"
        export(Case(preset="paper").learner, file)
        learner = min(_fresh(LEARNER_READY) for _ in range(4))
        exported = min(_fresh(EXPORTED_READY, file) for _ in range(4))
    return {
        "learner: import and ready, s (goal 2.0)": learner[0],
        "learner: resident, MB (goal 240)": learner[1],
        "learner: TensorFlow imported (goal 0)": learner[2],
        "exported model: import and ready, s (goal 0.3)": exported[0],
        "exported model: resident, MB (goal 60)": exported[1],
    }


def _fresh(program: str, *arguments: str) -> list[float]:
    """Seconds, megabytes at the most, and whether TensorFlow was imported, of a fresh process."""
    command = [sys.executable, "-c", START + program + END, *arguments]
    found: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description="How fast is the learner, and against what?")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    for part in (steps, categories, snapshots, ready):
        measured = part()
        for name, value in measured.items():
            print(f"{name:48s} {value:10.2f}")
        figures |= measured
    figures["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
