"""The compiled kernel does what automatic differentiation says, event after event.

Both start from the learner's weights and see the same encoded inputs. A difference is the largest in an
array, relative to the array's largest number. Biases are taken together, those of the hidden layers and those
of the heads: one bias alone may be the small sum of large steps, whose own relative error means nothing.

Measured over all cases here, dense and sparse: weights differ by up to 2e-6 after one event, 4e-6 after 10
and 5e-6 after 1,000, as they do against the network in float64 (20 layers, regression). That is no promise
for 1,000 events: some are sensitive to rounding (presumably a unit whose sum is within rounding of zero, on
in one network and off in the other), and then the two part ways. Preset "g16" with 20 layers does on this
regression: after 550 events weights differ by 1e-6, after 600 by 9e-3, after 1,000 by 7e-2. So does the
float64 network from itself when all its inputs are moved by 1e-6 of themselves: of two such runs one stayed
below 1e-5 throughout, the other left between the same two events and ended at the same 7e-2. A single input
moved by 1e-7 fades (3e-9 after 1,000).
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from hedge_model.encoder import Features
from hedge_model.learner import HedgeLearner
from hedge_model.network_exchange import inputs_of, network_of
from hedge_model.spec import ModelSpec, Task
from hedge_model.values import Label

Floats = npt.NDArray[np.float64]

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
CLASSES = {"binary": ("a", "b"), "multiclass": ("a", "b", "c", "d", "e"), "regression": ()}
DEPTHS = (0, 1, 5, 20)
NUMBERS = ("n0", "n1", "n2", "n3")
AFTER_10 = 1e-5


def dense_spec(task: Task, preset: str, depth: int) -> ModelSpec:
    return ModelSpec(
        task=task,
        preset=preset,
        hidden_layers=depth,
        width=20,
        classes=CLASSES[task],
        fields=dict.fromkeys(NUMBERS, "number"),
        ramps=0 if preset == "paper" else 4,
    )


def sparse_spec(task: Task, preset: str, depth: int) -> ModelSpec:
    plain = dense_spec(task, preset, depth).to_dict()
    fields = {**plain["fields"], "city": "category", "day": "category"}
    return ModelSpec.from_dict({**plain, "fields": fields, "crosses": [["city", "day"]], "hash_bits": 5})


def categorical_spec(task: Task, preset: str, depth: int) -> ModelSpec:
    """More categories than numbers, so that in the default they have steps of their own."""
    plain = sparse_spec(task, preset, depth).to_dict()
    return ModelSpec.from_dict({**plain, "fields": {**plain["fields"], "more": "category"}})


def events(spec: ModelSpec, count: int, sparse: bool) -> Iterator[tuple[Features, Label, float]]:
    """Events of a noisy nonlinear rule; sparse: many zeros, missing numbers and categories."""
    rng = np.random.default_rng(7)
    direction = rng.normal(size=len(NUMBERS))
    for event in range(count):
        values = rng.normal(size=len(NUMBERS))
        merit = np.tanh(values @ direction) + 0.5 * values[0] * values[1] + 0.2 * rng.normal()
        x: Features = dict(zip(NUMBERS, values.tolist(), strict=True))
        if sparse:
            kept = rng.random(len(NUMBERS))
            x = {
                n: (v if k > 0.6 else 0.0 if k > 0.3 else None)
                for (n, v), k in zip(x.items(), kept, strict=True)
            }
            x |= {"city": str(rng.integers(20)), "day": None if rng.random() < 0.2 else int(rng.integers(7))}
            if event == 0:  # every missing indicator exists from here on
                x = dict.fromkeys(x)
        known = len(spec.classes)
        y: Label = (
            merit * 30 + 100 if not known else spec.classes[int(np.clip((merit + 1.5) / 3, 0, 0.999) * known)]
        )
        yield x, y, float(rng.uniform(0.5, 2.0))


class Target:
    """A regression's target as the learner standardises it: by running moments that include it."""

    def __init__(self) -> None:
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def take(self, y: float) -> float:
        self.count += 1
        share, gap = 1 / self.count, y - self.mean
        self.mean += share * gap
        self.variance = (1 - share) * (self.variance + share * gap * gap)
        return (y - self.mean) / np.sqrt(self.variance) if self.variance > 0 else 0.0


class Pair:
    """A learner, the network that was made of it at its start, and what the network still has to learn."""

    def __init__(self, spec: ModelSpec, sparse: bool, dtype: str = "float32") -> None:
        self.stream = events(spec, 2_000, sparse)
        self.learner, self.target = HedgeLearner(spec), Target()
        if sparse:
            x, y, weight = next(self.stream)
            self._label(y)
            self.learner.learn_one(x, y, weight)
        self.network = network_of(self.learner, dtype)
        self.learned = 0

    def _label(self, y: Label) -> float:
        classes = self.learner.spec.classes
        return classes.index(str(y)) if classes else self.target.take(float(y))

    def learn_until(self, count: int) -> tuple[Floats, Floats]:
        """Both learn until `count` events; what they predicted before each, [events, C]."""
        inputs, labels, weights, predicted = [], [], [], []
        for _ in range(count - self.learned):
            x, y, weight = next(self.stream)
            inputs.append(inputs_of(self.learner, x))
            alpha, depths = np.array(self.learner.depth_weights()), self.learner.predict_depths_one(x)
            predicted.append(alpha @ depths)
            labels.append(self._label(y))
            weights.append(weight)
            self.learner.learn_one(x, y, weight)
        self.learned = count
        return np.array(predicted), self.network.hedge_fold(
            np.array(inputs), np.array(labels), np.array(weights)
        )

    def difference(self) -> tuple[float, str]:
        """The largest difference of any weight, and where it is."""
        ours, theirs = (grouped(n.weights_dict()) for n in (network_of(self.learner), self.network))
        return max((relative(theirs[name], ours[name]), name) for name in ours if ours[name].size)


def grouped(weights: dict[str, Floats]) -> dict[str, Floats]:
    kernels = {name: array for name, array in weights.items() if not name.endswith("/bias")}
    for kind in ("hidden", "head"):
        biases = [
            array for name, array in weights.items() if name.startswith(kind) and name.endswith("/bias")
        ]
        kernels[f"{kind}/biases"] = np.concatenate(biases) if biases else np.zeros(0)
    return kernels


def relative(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("preset", ["paper", "default"])
def test_the_kernel_agrees_with_autodiff_on_dense_weighted_events(
    preset: str, task: Task, depth: int
) -> None:
    pair = Pair(dense_spec(task, preset, depth), sparse=False)
    pair.learn_until(1)
    assert pair.difference() < (AFTER_10, "")
    ours, theirs = pair.learn_until(10)
    assert pair.difference() < (AFTER_10, "")
    assert relative(theirs, ours) < AFTER_10
    ours, theirs = pair.learn_until(1_000)
    assert float(np.sqrt(np.mean((ours - theirs) ** 2))) < (2e-2 if depth == 20 else 1e-4)  # see above


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("preset", "spec_of"), [("paper", sparse_spec), ("default", sparse_spec), ("default", categorical_spec)]
)
def test_the_kernel_agrees_with_autodiff_on_sparse_events_with_missing_values(
    preset: str, spec_of: Callable[[Task, str, int], ModelSpec], task: Task, depth: int
) -> None:
    pair = Pair(spec_of(task, preset, depth), sparse=True)
    ours, theirs = pair.learn_until(10)
    assert pair.difference() < (AFTER_10, "")
    assert relative(theirs, ours) < AFTER_10
