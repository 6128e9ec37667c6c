"""The Hedge Backpropagation network as a Keras model: to define, pretrain, import, and as the authority.

Sahoo, Pham, Lu and Hoi, "Online Deep Learning: Learning Deep Neural Networks on the Fly", IJCAI 2018. A
network of L hidden layers has L + 1 classifiers, one on every depth, and predicts their mixture F(x) = Σ_l
α_l f_l(x) (eq. 1). All gradients here come from automatic differentiation, so that the compiled kernel has
something independent to agree with. TensorFlow takes seconds to import, so nothing that serves imports this
module.

>>> import numpy as np
>>> from hedge_model.spec import ModelSpec
>>> network = HedgeNetwork(ModelSpec(preset="paper", hidden_layers=2, width=8), n_inputs=3, n_outputs=2)
>>> network.hedge_step(np.float32([0.5, -1, 2]), y=1).shape  # the prediction made before it learns
(2,)
>>> network.weights_dict()["alpha"].round(2)  # one weight for each depth
array([0.33, 0.33, 0.33], dtype=float32)
"""

from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hedge_model.network_step import FactoredRMS, hedge_losses, reweighed, sgd_descent
from hedge_model.spec import ModelSpec

Array = npt.NDArray[Any]

CATEGORICAL_RATE = 0.1  # share of the learning rate where categories decide
RMS_FLOOR = 1e-6  # under the root, so that silent layers do not divide by zero


@keras.saving.register_keras_serializable(package="hedge_model")
class HedgeNetwork(keras.Model):  # type: ignore[misc]  # Keras is published without types
    """L hidden layers and L + 1 classifiers whose outputs are mixed by hedge weights α.

    With u_0 = x (float [batch, n_inputs]), hidden layer l = 1 … L is

    * preset "paper": u_l = relu(u_{l-1} W_l + b_l)  (eq. 2)
    * the others: u_l = h_l / rms(h_l), where h_l = h_{l-1} + relu(u_{l-1} W_l + b_l), without h_0

    and `heads[l]` classifies u_l; depth 0 is linear on the input. Predictions are probabilities [batch,
    n_outputs], for regression numbers [batch, 1]. Labels are class indices [batch], for regression numbers.

    `fit` and `train_on_batch` minimise Σ_l w_l loss_l by the compiled Keras optimiser: w = α in preset
    "paper" (eq. 3 and 4), 1 / (L + 1) in the default; α follows the batch's mean losses. `hedge_step` and
    `hedge_fold` are the online learner's own step, one event at a time.
    """

    def __init__(
        self,
        spec: ModelSpec,
        n_inputs: int,
        n_outputs: int,
        n_rows: int = 0,
        slow: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if n_inputs < 0 or n_outputs < 1 or (spec.task == "regression" and n_outputs != 1):
            raise ValueError(
                f"expected 0 or more inputs and 1 or more outputs (regression: 1), "
                f"received {n_inputs} and {n_outputs} for task '{spec.task}'"
            )
        self.spec, self.n_inputs, self.n_outputs = spec, n_inputs, n_outputs
        self.n_rows = n_rows  # of the inputs, the last, where categories have steps of their own
        self.slow = slow  # categories decide: a tenth of the rate, no fast start
        depths = range(1, spec.hidden_layers + 1)
        self.hidden = [self._dense(f"hidden_{depth}", spec.width, seed=depth) for depth in depths]
        self.heads = [self._dense("head_0", n_outputs, seed=None)]
        self.heads += [self._dense(f"head_{depth}", n_outputs, seed=-depth) for depth in depths]
        equal = keras.initializers.Constant(1 / len(self.heads))
        self.alpha = self.add_weight(
            name="alpha", shape=(len(self.heads),), initializer=equal, trainable=False
        )
        self.descent = None
        if spec.preset != "paper":
            self.descent = FactoredRMS(
                spec.hidden_layers,
                spec.width,
                learning_rate=spec.learning_rate * (CATEGORICAL_RATE if slow else 1.0),
                fast_start=0 if slow else spec.fast_start,
                decay=spec.decay,
                n_rows=n_rows,
                dtype=self.dtype_policy,
            )
        self.build((None, n_inputs))

    def _dense(self, name: str, units: int, seed: int | None) -> Any:
        """A layer; no seed: it starts at zero."""
        initial = "zeros"
        if seed is not None:
            initial = keras.initializers.GlorotUniform(seed=(self.spec.seed * 131 + seed) % 2**31)
        return keras.layers.Dense(units, kernel_initializer=initial, name=name, dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make all variables. The constructor has done so, for it knows the number of inputs."""
        if input_shape[-1] != self.n_inputs:
            raise ValueError(f"expected {self.n_inputs} inputs, received {input_shape[-1]}")
        if self.built:  # type: ignore[has-type]  # Keras sets it
            return
        received = [self.n_inputs] + [self.spec.width] * len(self.hidden)
        for units, head in zip(received, self.heads, strict=True):
            head.build((None, units))
        for units, layer in zip(received, self.hidden, strict=False):
            layer.build((None, units))
        if self.descent is not None:
            self.descent.build(None)
        self.built = True

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The network of `get_config`, with fresh weights."""
        return cls(**{**config, "spec": ModelSpec.from_dict(config["spec"])})

    def get_config(self) -> dict[str, Any]:
        """Plain types, from which `from_config` makes the same network."""
        sizes = {
            "n_inputs": self.n_inputs,
            "n_outputs": self.n_outputs,
            "n_rows": self.n_rows,
            "slow": self.slow,
        }
        return {**super().get_config(), "spec": self.spec.to_dict(), **sizes}

    # ------------------------------------------------------------------ forward

    def forward(self, x: Any) -> tuple[Any, list[Any]]:
        """What every head says, before softmax, [L + 1, batch, n_outputs]; and u_0 … u_L, [batch, units]."""
        activations, running = [x], None
        for layer in self.hidden:
            rectified = keras.ops.relu(layer(activations[-1]))
            if self.spec.preset == "paper":
                activations.append(rectified)
                continue
            running = rectified if running is None else running + rectified
            mean_square = keras.ops.mean(keras.ops.square(running), axis=-1, keepdims=True)
            activations.append(running / keras.ops.sqrt(mean_square + RMS_FLOOR))
        said = [head(units) for head, units in zip(self.heads, activations, strict=True)]
        return keras.ops.stack(said), activations

    def call(self, inputs: Any) -> Any:
        """The mixture F(x) = Σ_l α_l f_l(x) (eq. 1), [batch, n_outputs]."""
        return self._mixture(self.forward(inputs)[0])

    def _predictions(self, said: Any) -> Any:
        return said if self.spec.task == "regression" else keras.ops.softmax(said, axis=-1)

    def _mixture(self, said: Any) -> Any:
        return keras.ops.tensordot(self.alpha, self._predictions(said), axes=1)

    def depth_losses(self, said: Any, y: Any) -> Any:
        """Loss of every depth at every event [L + 1, batch]: log-loss, or half the squared error."""
        if self.spec.task == "regression":
            target = keras.ops.cast(keras.ops.reshape(y, (-1,)), said.dtype)
            return keras.ops.square(said[:, :, 0] - target) / 2
        truth = keras.ops.one_hot(keras.ops.reshape(y, (-1,)), self.n_outputs, dtype=said.dtype)
        return keras.ops.logsumexp(said, axis=-1) - keras.ops.sum(said * truth, axis=-1)

    def _shares(self) -> Any:
        """Weight of each depth's loss in the gradient [L + 1]."""
        if self.spec.preset == "paper":
            return self.alpha.value
        return keras.ops.full((len(self.heads),), 1 / len(self.heads), dtype=self.compute_dtype)

    # ------------------------------------------------------------------ batches, as Keras trains

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of `fit`: the compiled optimiser descends Σ_l w_l loss_l, α follows the mean losses."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            said, losses = self._batch(x, y, weight)
            objective = keras.ops.sum(self._shares() * losses)
        prediction = self._mixture(said)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(objective, variables), variables)
        judged = hedge_losses(self.spec, losses, 2 * keras.ops.min(losses))  # losses: half the squared errors
        self.alpha.assign(reweighed(self.spec, self.alpha, judged))
        return self._report(x, y, prediction, weight, objective)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of `evaluate`: the same loss, learning nothing."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        said, losses = self._batch(x, y, weight)
        return self._report(x, y, self._mixture(said), weight, keras.ops.sum(self._shares() * losses))

    def _batch(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        """What the heads say, and the mean loss of every depth."""
        said, _ = self.forward(keras.ops.cast(x, self.compute_dtype))
        losses = self.depth_losses(said, y)
        if weight is not None:
            losses = losses * keras.ops.cast(keras.ops.reshape(weight, (-1,)), losses.dtype)
        return said, keras.ops.mean(losses, axis=1)

    def _report(self, x: Any, y: Any, prediction: Any, weight: Any, loss: Any) -> dict[str, Any]:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=keras.ops.shape(x)[0])
        report: dict[str, Any] = self.compute_metrics(x, y, prediction, weight)
        return report

    # ------------------------------------------------------------------ events, as the learner learns

    def hedge_step(self, x: Array, y: float, weight: float = 1.0) -> Array:
        """Learn one event, x [n_inputs], and return the prediction [n_outputs] made before it.

        `y` is a class index, for regression the standardised target; `weight` multiplies the gradient.
        """
        prediction: Array = self.hedge_fold(np.asarray(x)[None], np.asarray([y]), np.asarray([weight]))[0]
        return prediction

    def hedge_fold(self, x: Array, y: Array, weights: Array | None = None) -> Array:
        """Learn n events one after the other, x [n, n_inputs]; the prediction before each [n, n_outputs]."""
        kind = np.float64 if self.spec.task == "regression" else np.int64
        weights = np.ones(len(x)) if weights is None else weights
        x, weights = (tf.constant(values, self.compute_dtype) for values in (x, weights))
        predictions: Array = self._fold(x, tf.constant(np.asarray(y, kind)), weights).numpy()
        return predictions

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def _fold(self, x: Any, y: Any, weights: Any) -> Any:
        count = tf.shape(x)[0]
        predictions = tf.TensorArray(self.compute_dtype, count, element_shape=(self.n_outputs,))
        for event in tf.range(count):
            one = slice(event, event + 1)
            predictions = predictions.write(event, self._event(x[one], y[one], weights[event]))
        return predictions.stack()

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # see above
    def _event(self, x: Any, y: Any, weight: Any) -> Any:
        """Algorithm 1: predict, suffer every depth's loss, step every weight, reweigh the depths."""
        with tf.GradientTape() as tape:
            said, activations = self.forward(x)
            losses = self.depth_losses(said, y)[:, 0]
            objective = weight * tf.reduce_sum(self._shares() * losses)
        prediction = self._mixture(said)[0]
        judged = hedge_losses(self.spec, losses, None if self.descent is None else self.descent.least_error())
        if self.descent is None:
            variables = self.trainable_variables
            sgd_descent(variables, tape.gradient(objective, variables), self.spec.learning_rate)
        else:
            layers = [*self.hidden, *self.heads]
            by_sums = tape.gradient(
                objective, [layer.bias for layer in layers]
            )  # of one event: the bias' own
            self.descent.descend(self.hidden, self.heads, [units[0] for units in activations], by_sums)
        self.alpha.assign(reweighed(self.spec, self.alpha, judged))
        return prediction

    # ------------------------------------------------------------------ exchange

    def variables_by_name(self) -> dict[str, Any]:
        """The variables under the names that the compiled learner uses (`hedge_model.layout.unpadded`)."""
        named = {}
        for depth, layer in enumerate(self.hidden, start=1):
            named["input/kernel" if depth == 1 else f"hidden_{depth}/kernel"] = layer.kernel
            named[f"hidden_{depth}/bias"] = layer.bias
        for depth, head in enumerate(self.heads):
            named[f"head_{depth}/kernel"], named[f"head_{depth}/bias"] = head.kernel, head.bias
        return {**named, "alpha": self.alpha}

    def weights_dict(self) -> dict[str, Array]:
        """Copies of the weights: kernels [inputs, outputs], biases [outputs], α [L + 1]."""
        return {name: np.array(variable) for name, variable in self.variables_by_name().items()}

    def set_weights_dict(self, weights: dict[str, Array]) -> None:
        """Take over weights as `weights_dict` gives them. Raises `ValueError` for other names or shapes."""
        variables = self.variables_by_name()
        if set(weights) != set(variables):
            wrong = ", ".join(sorted(set(weights) ^ set(variables)))
            raise ValueError(f"expected the weights {', '.join(variables)}; missing or unknown: {wrong}")
        for name, variable in variables.items():
            if tuple(variable.shape) != weights[name].shape:
                raise ValueError(
                    f"expected '{name}' of shape {tuple(variable.shape)}, received {weights[name].shape}"
                )
        for name, variable in variables.items():
            variable.assign(weights[name])
