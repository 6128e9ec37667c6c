"""How much faster is the compiled step than the same network's step in TensorFlow, as an expert writes it?

The published network (Sahoo et al., 2018): 28 features, 100 units, 20 and 5 hidden layers, one event a step:
predict, every depth's loss, gradient of Σ α_l loss_l, descent, new α. The TensorFlow step is a `tf.function`
over plain variables with the event's tensors ready; the best of graph and XLA, one variable a layer or all
layers in one, counts. It is also given what no service has: the stream beforehand, looped over in one call.
One thread each, the same stream; all must predict the same.
`python benchmarks/keras_step.py [--json FILE]`
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from hedge_model import HedgeLearner, ModelSpec

FEATURES, WIDTH = 28, 100
CLASSES = ("0", "1")
EVENTS = 1000  # of one run, so that what a run costs besides is little for all
REPEATS = 12  # runs of each contender, taken in turns; the best counts
GOALS = {20: 20.0, 5: 35.0}  # hidden layers -> how many times faster
NAMES = {True: "XLA", False: "graph"}


class Separate:
    """One variable for every kernel and bias."""

    name = "a variable a layer"

    def __init__(self, weights: dict[str, Any], layers: int) -> None:
        names = ["input/kernel", *(f"hidden_{depth}/kernel" for depth in range(2, layers + 1))]
        self.kernels = [tf.Variable(weights[name]) for name in names]
        self.biases = [tf.Variable(weights[f"hidden_{depth}/bias"]) for depth in range(1, layers + 1)]
        self.heads = [tf.Variable(weights[f"head_{depth}/kernel"]) for depth in range(layers + 1)]
        self.head_biases = [tf.Variable(weights[f"head_{depth}/bias"]) for depth in range(layers + 1)]
        self.alpha = tf.Variable(weights["alpha"])
        self.trained = [*self.kernels, *self.biases, *self.heads, *self.head_biases]

    def logits(self, x: Any) -> Any:
        units, said = x, [x @ self.heads[0] + self.head_biases[0]]
        for kernel, bias, head, head_bias in zip(
            self.kernels, self.biases, self.heads[1:], self.head_biases[1:], strict=True
        ):
            units = tf.nn.relu(units @ kernel + bias)
            said.append(units @ head + head_bias)
        return tf.concat(said, 0)


class Stacked:
    """All layers of one shape in one variable: eight variables whatever the depth."""

    name = "layers in one variable"

    def __init__(self, weights: dict[str, Any], layers: int) -> None:
        self.layers = layers
        self.first = tf.Variable(weights["input/kernel"])
        self.kernels = tf.Variable(np.stack([weights[f"hidden_{d}/kernel"] for d in range(2, layers + 1)]))
        self.biases = tf.Variable(np.stack([weights[f"hidden_{d}/bias"] for d in range(1, layers + 1)]))
        self.head0 = tf.Variable(weights["head_0/kernel"])
        self.heads = tf.Variable(np.stack([weights[f"head_{d}/kernel"] for d in range(1, layers + 1)]))
        self.head_biases = tf.Variable(np.stack([weights[f"head_{d}/bias"] for d in range(layers + 1)]))
        self.alpha = tf.Variable(weights["alpha"])
        self.trained = [self.first, self.kernels, self.biases, self.head0, self.heads, self.head_biases]

    def logits(self, x: Any) -> Any:
        kernels, biases = tf.unstack(self.kernels), tf.unstack(self.biases)
        units = [tf.nn.relu(x @ self.first + biases[0])]
        for kernel, bias in zip(kernels, biases[1:], strict=True):
            units.append(tf.nn.relu(units[-1] @ kernel + bias))
        deep = tf.matmul(tf.stack(units), self.heads)[:, 0]
        return tf.concat([x @ self.head0, deep], 0) + self.head_biases


def step_of(network: Any, spec: ModelSpec) -> Callable[[Any, Any], Any]:
    """One event: x [1, D], y [1]; the prediction made before learning it, [C]."""
    heads = spec.hidden_layers + 1

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network.logits(x)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.repeat(y, heads), logits)
            objective = tf.reduce_sum(network.alpha * losses)
        prediction = tf.linalg.matvec(tf.nn.softmax(logits), network.alpha, transpose_a=True)
        for variable, gradient in zip(
            network.trained, tape.gradient(objective, network.trained), strict=True
        ):
            variable.assign_sub(spec.learning_rate * gradient)
        floored = tf.maximum(network.alpha * spec.beta**losses, spec.s / heads)
        network.alpha.assign(floored / tf.reduce_sum(floored))
        return prediction

    return step


class Stream:
    """Events, a fresh learner for them, and its dense inputs, which TensorFlow is spared to compute."""

    def __init__(self, layers: int) -> None:
        random = np.random.default_rng(0)
        self.X = random.standard_normal((EVENTS, FEATURES)).astype(np.float32)
        self.y = (self.X[:, 0] * self.X[:, 1] + self.X[:, 2] > 0).astype(np.int64)
        self.names = [f"f{j:02}" for j in range(FEATURES)]
        fields = dict.fromkeys(self.names, "number")
        self.spec = ModelSpec(
            task="binary", classes=CLASSES, preset="paper", hidden_layers=layers, fields=fields
        )
        self.learner = HedgeLearner(self.spec)
        self.weights = self.learner.weights()
        inputs = []
        for row, label in zip(self.X.tolist(), self.y, strict=True):
            x = dict(zip(self.names, row, strict=True))
            inputs.append(self.learner.inputs_one(x))
            self.learner.learn_one(x, CLASSES[label])
        self.inputs = np.array(inputs)
        self.one_by_one = [
            (tf.constant(x[None]), tf.constant([y])) for x, y in zip(self.inputs, self.y, strict=True)
        ]

    def kernel(self) -> Any:
        """Predict and learn every event by the compiled step, its encoding included."""
        return self.learner.prequential_many(self.X, self.labels, names=self.names)

    @property
    def labels(self) -> list[str]:
        return [CLASSES[label] for label in self.y]


def contenders(stream: Stream) -> dict[str, Callable[[], Any]]:
    """Name -> one pass over the stream by a TensorFlow step, going on from where the last pass ended."""
    made: dict[str, Callable[[], Any]] = {}
    for kind in (Separate, Stacked):
        for jit in (False, True):
            network = kind(stream.weights, stream.spec.hidden_layers)
            step = tf.function(step_of(network, stream.spec), jit_compile=jit, autograph=False)
            made[f"{NAMES[jit]}, {kind.name}"] = lambda step=step: [step(x, y) for x, y in stream.one_by_one]
    inner = step_of(Separate(stream.weights, stream.spec.hidden_layers), stream.spec)
    x, y = tf.constant(stream.inputs[:, None]), tf.constant(stream.y[:, None])
    made["graph, whole stream in one call"] = looped(inner, x, y)
    return made


def looped(inner: Callable[[Any, Any], Any], x: Any, y: Any) -> Callable[[], Any]:
    """All events inside one `tf.function` call."""
    inner = tf.autograph.experimental.do_not_convert(inner)

    @tf.function
    def whole(x: Any, y: Any) -> Any:
        predictions = tf.TensorArray(tf.float32, EVENTS)
        for event in tf.range(EVENTS):
            predictions = predictions.write(event, inner(x[event], y[event]))
        return predictions.stack()

    return lambda: whole(x, y)


def measure(layers: int) -> dict[str, Any]:
    """µs per event of every contender and of the kernel, measured in turns."""
    stream = Stream(layers)
    passes = contenders(stream)
    expected = HedgeLearner(stream.spec).prequential_many(stream.X, stream.labels, names=stream.names)
    for name, run in passes.items():  # compiles, and proves that all learn the same
        gap = float(np.abs(np.array(run()) - expected).max())
        if gap > 1e-3:
            sys.exit(f"'{name}' with {layers} layers predicts otherwise than the kernel: by up to {gap:.1e}")
    runs = {**passes, "kernel": stream.kernel}
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - start) / EVENTS * 1e6)
    steps = {
        name: us for name, us in best.items() if name not in ("kernel", "graph, whole stream in one call")
    }
    fastest = min(steps, key=lambda name: steps[name])
    return {
        "us": {name: round(us, 2) for name, us in best.items()},
        "best_step": fastest,
        "ratio": round(best[fastest] / best["kernel"], 1),
        "ratio_whole_stream": round(best["graph, whole stream in one call"] / best["kernel"], 1),
        "goal": GOALS[layers],
    }


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    report = {}
    for layers, goal in GOALS.items():
        report[f"{layers}x{WIDTH}"] = case = measure(layers)
        print(f"{layers} hidden layers x {WIDTH}, {FEATURES} features, µs per event")
        for name, us in case["us"].items():
            print(f"  {name:40} {us:9.1f}   {us / case['us']['kernel']:6.1f} x the kernel")
        verdict = "reached" if case["ratio"] >= goal else "not reached"
        print(f"  best step / kernel: {case['ratio']} x, goal {goal:.0f} x {verdict}\n")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
