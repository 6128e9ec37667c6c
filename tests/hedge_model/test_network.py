"""The network is a Keras model like any other, and its own step is the published one."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from hedge_model.learner import HedgeLearner
from hedge_model.network import HedgeNetwork
from hedge_model.network_exchange import inputs_of, learner_of, network_of
from hedge_model.spec import ModelSpec

Array = npt.NDArray[Any]
TASKS = ("binary", "multiclass", "regression")
PRESETS = ("paper", "default")


def stream(count: int, task: str = "binary", inputs: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, inputs)).astype(np.float32)
    merit = x[:, 0] * x[:, 1] + x[:, 2]
    return x, merit.astype(np.float32) if task == "regression" else (merit > 0).astype(np.int64)


def network(task: str = "binary", preset: str = "default", depth: int = 3, **settings: Any) -> HedgeNetwork:
    spec = ModelSpec(task=task, preset=preset, hidden_layers=depth, width=8, **settings)
    return HedgeNetwork(spec, n_inputs=3, n_outputs=1 if task == "regression" else 2)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_a_saved_network_predicts_and_goes_on_bit_for_bit(task: str, preset: str, tmp_path: Path) -> None:
    model, (x, y) = network(task, preset, depth=2), stream(40, task)
    model.hedge_fold(x[:20], y[:20])
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert loaded.get_config() == model.get_config()
    for name, array in model.weights_dict().items():
        np.testing.assert_array_equal(loaded.weights_dict()[name], array)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_array_equal(loaded.hedge_fold(x[20:], y[20:]), model.hedge_fold(x[20:], y[20:]))


def test_a_config_makes_the_same_network_with_fresh_weights() -> None:
    model = network(seed=5, beta=0.9)
    again = HedgeNetwork.from_config(model.get_config())
    assert again.spec == model.spec
    for name, array in model.weights_dict().items():  # the seed makes the fresh weights the same too
        np.testing.assert_array_equal(again.weights_dict()[name], array)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_fit_lowers_the_loss_over_epochs(task: str, preset: str) -> None:
    model, (x, y) = network(task, preset, depth=1), stream(256, task)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    before = model.evaluate(x, y, verbose=0)
    history = model.fit(x, y, epochs=10, batch_size=32, verbose=0, validation_data=(x, y)).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.evaluate(x, y, verbose=0) < 0.9 * before
    assert float(np.sum(model.alpha)) == pytest.approx(1.0, abs=1e-6)


def test_metrics_see_the_mixture_and_sample_weights_are_taken() -> None:
    model, (x, y) = network(), stream(64)
    model.compile(optimizer="sgd", metrics=["sparse_categorical_accuracy"])
    report = model.train_on_batch(x, y, sample_weight=np.full(64, 0.5), return_dict=True)
    assert set(report) == {"loss", "sparse_categorical_accuracy"}
    nothing = model.test_on_batch(x, y, sample_weight=np.zeros(64), return_dict=True)
    assert nothing["loss"] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_training_on_a_batch_of_one_by_sgd_is_the_published_step(task: str) -> None:
    by_batch, (x, y) = network(task, "paper"), stream(10, task)
    by_event = HedgeNetwork.from_config(by_batch.get_config())
    by_batch.compile(optimizer=keras.optimizers.SGD(by_batch.spec.learning_rate))
    for event in range(10):
        by_batch.train_on_batch(x[event : event + 1], y[event : event + 1])
        by_event.hedge_step(x[event], y[event])
    for name, array in by_event.weights_dict().items():
        np.testing.assert_allclose(by_batch.weights_dict()[name], array, rtol=1e-5, atol=1e-7)


def test_the_prediction_is_the_mixture_of_all_depths() -> None:
    model, (x, y) = network(preset="paper"), stream(20)
    model.hedge_fold(x, y)
    depths = keras.ops.convert_to_numpy(keras.ops.softmax(model.forward(x)[0]))
    assert depths.shape == (4, 20, 2)
    expected = np.einsum("l,lbc->bc", np.array(model.alpha), depths)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


def test_depths_are_reweighed_as_in_algorithm_1_floor_before_normalisation() -> None:
    model, (x, y) = network(preset="paper", depth=1, beta=0.5, s=0.5), stream(60)
    floored = 0
    for event in range(60):
        alpha = np.array(model.alpha, np.float64)
        depths = keras.ops.convert_to_numpy(keras.ops.softmax(model.forward(x[event : event + 1])[0]))
        product = [a * 0.5 ** -math.log(p) for a, p in zip(alpha, depths[:, 0, y[event]], strict=True)]
        floored += min(product) < 0.25
        expected = np.maximum(product, 0.25)
        model.hedge_step(x[event], y[event])
        np.testing.assert_allclose(np.array(model.alpha), expected / expected.sum(), rtol=1e-5)
    assert 0 < floored < 60


def test_heads_and_layers_descend_by_eq_3_and_4() -> None:
    model, (x, y) = network(preset="paper", depth=2), stream(1)
    alpha = np.array(model.alpha)
    with tf.GradientTape(persistent=True) as tape:
        losses = tf.unstack(model.depth_losses(model.forward(x)[0], y)[:, 0])
    before, rate = model.weights_dict(), model.spec.learning_rate
    third = (
        before["head_2/kernel"] - rate * alpha[2] * tape.gradient(losses[2], model.heads[2].kernel).numpy()
    )
    by_depth = [tape.gradient(losses[depth], model.hidden[0].kernel).numpy() for depth in (1, 2)]
    fourth = before["input/kernel"] - rate * (alpha[1] * by_depth[0] + alpha[2] * by_depth[1])
    model.hedge_step(x[0], y[0])
    np.testing.assert_allclose(model.weights_dict()["head_2/kernel"], third, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(model.weights_dict()["input/kernel"], fourth, rtol=1e-5, atol=1e-8)


def test_the_gradient_of_a_kernel_at_one_event_is_an_outer_product() -> None:
    """What the default preset's optimiser relies on: inputs times the gradient by the layer's sums."""
    model, (x, y) = network(depth=3), stream(1)
    with tf.GradientTape() as tape:
        said, activations = model.forward(x)
        loss = tf.reduce_sum(model.depth_losses(said, y))
    layers = [*model.hidden, *model.heads]
    received = [*activations[:-1], *activations]
    kernels, biases = tape.gradient(loss, ([v.kernel for v in layers], [v.bias for v in layers]))
    for kernel, bias, units in zip(kernels, biases, received, strict=True):
        np.testing.assert_allclose(kernel, np.outer(units[0], bias), rtol=1e-5, atol=1e-7)


def test_an_event_of_weight_2_steps_twice_as_far_in_the_published_preset() -> None:
    (x, y), steps = stream(1), []
    for weight in (1.0, 2.0):
        model = network(preset="paper")
        before = model.weights_dict()["head_1/bias"]
        model.hedge_step(x[0], y[0], weight)
        steps.append(model.weights_dict()["head_1/bias"] - before)
    np.testing.assert_allclose(steps[1], 2 * steps[0], rtol=1e-5)


def test_a_network_without_hidden_layers_is_linear() -> None:
    model, (x, y) = network(depth=0), stream(20)
    model.hedge_fold(x, y)
    assert set(model.weights_dict()) == {"head_0/kernel", "head_0/bias", "alpha"}
    np.testing.assert_array_equal(np.array(model.alpha), [1.0])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_weights_and_running_squares_pass_through_a_network_without_loss(task: str, preset: str) -> None:
    classes = () if task == "regression" else ("a", "b")
    fields = {"n": "number", "m": "number", "city": "category"}
    spec = ModelSpec(
        task=task, preset=preset, classes=classes, fields=fields, hidden_layers=2, width=8, hash_bits=4
    )
    learner = HedgeLearner(spec)
    for event in range(30):
        x = {"n": math.sin(event), "m": None if event % 5 == 0 else float(event), "city": str(event % 7)}
        learner.learn_one(x, math.cos(event) if task == "regression" else classes[event % 2])
    again = learner_of(network_of(learner), learner)
    assert again.digest() == learner.digest()
    x = {"n": 0.3, "m": 2.0, "city": "nowhere"}
    predicted = network_of(learner).predict(inputs_of(learner, x)[None], verbose=0)[0]
    expected = np.array(learner.depth_weights()) @ learner.predict_depths_one(x)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)


def test_a_pretrained_network_becomes_a_learner_that_predicts_the_same() -> None:
    spec = ModelSpec(
        task="binary",
        classes=("a", "b"),
        fields={"n": "number", "c": "category"},
        preset="g16",
        hash_bits=4,
        width=8,
    )
    learner = HedgeLearner(spec)
    for event in range(10):
        learner.learn_one({"n": float(event), "c": "x"}, "ab"[event % 2])
    model, events = network_of(learner), [{"n": float(n), "c": c} for n in range(10) for c in "xyz"]
    inputs = np.array([inputs_of(learner, x) for x in events])
    model.compile(optimizer="adam")
    model.fit(inputs, np.array([int(x["c"] == "y") for x in events]), epochs=3, verbose=0)
    taught = learner_of(model, learner)
    for x, predicted in zip(events, model.predict(inputs, verbose=0), strict=True):
        assert taught.predict_proba_one(x)["b"] == pytest.approx(float(predicted[1]), abs=1e-6)


def test_a_network_of_other_sizes_is_no_learner_of_this_one() -> None:
    learner = HedgeLearner(ModelSpec(task="binary", classes=("a", "b"), fields={"n": "number"}, ramps=0))
    other = HedgeNetwork(learner.spec, n_inputs=2, n_outputs=2)
    with pytest.raises(ValueError, match="with 1 inputs and 2 outputs, received 2 and 2 of the same spec"):
        learner_of(other, learner)


def test_a_learner_without_classes_has_no_network_yet() -> None:
    with pytest.raises(ValueError, match="expected a learner that knows its classes"):
        network_of(HedgeLearner(ModelSpec()))


def test_wrong_names_and_shapes_of_weights_are_refused() -> None:
    model = network()
    weights = model.weights_dict()
    with pytest.raises(ValueError, match="missing or unknown: extra"):
        model.set_weights_dict({**weights, "extra": np.zeros(1)})
    with pytest.raises(ValueError, match=r"expected 'alpha' of shape \(4,\), received \(3,\)"):
        model.set_weights_dict({**weights, "alpha": np.zeros(3)})


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="regression: 1"):
        HedgeNetwork(ModelSpec(task="regression"), n_inputs=3, n_outputs=2)
    with pytest.raises(ValueError, match="expected 3 inputs, received 4"):
        network().build((None, 4))
