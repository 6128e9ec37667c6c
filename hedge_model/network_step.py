"""What one event does to a Hedge network once gradients are known: descent, and weights for the depths."""

from typing import Any

import keras
import tensorflow as tf

from hedge_model.spec import ModelSpec

FLOOR_SHARE = 0.01  # running mean squares are not taken smaller than this share of their layer's mean
FLOOR_MIN = 1e-20
HEAD_FLOOR = 1e-8  # added to the running RMS of a head's error
MERIT_FLOOR = 1e-4  # default preset: one bad event costs a depth at most this factor
MERIT_FLOOR_PAPER = 1e-7  # keeps the published loss finite
FAST_START_EVENTS = 100.0  # a fast start is half over after as many
ROW_RATE = 0.1  # of a category's row
ROW_FLOOR = 1e-20
ERROR_KNOWN = 1e-12  # mean square errors up to here are no scale to judge by


def sgd_descent(variables: list[Any], gradients: list[Any], learning_rate: float) -> None:
    """Plain gradient descent, eq. 3 and 4 of Sahoo et al. when the gradients are those of Σ_l α_l loss_l."""
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(learning_rate * gradient)


def reweighed(spec: ModelSpec, alpha: Any, losses: Any) -> Any:
    """The depths' weights [L + 1] after losses [L + 1].

    Preset "paper", Algorithm 1 of Sahoo et al.: α_l β^loss_l, then at least s / (L + 1), then normalised.
    Default: α_l β^loss_l normalised, then a share s is spread evenly (Herbster & Warmuth, "Tracking the Best
    Expert", 1998).
    """
    product, even = alpha * spec.beta**losses, spec.s / (spec.hidden_layers + 1)
    if spec.preset == "paper":
        floored = keras.ops.maximum(product, even)
        return floored / keras.ops.sum(floored)
    return (1 - spec.s) * product / keras.ops.sum(product) + even


def hedge_losses(spec: ModelSpec, losses: Any, least_error: Any) -> Any:
    """What each depth's weight suffers [L + 1]: -ln(p + ε), so that no single event decides.

    p = exp(-loss), the probability that the depth gave to the truth. A regression's loss is half the squared
    error, in units of the least running mean square error of any depth (default preset) or of 1.
    """
    if spec.preset == "paper":
        return -keras.ops.log(keras.ops.exp(-losses) + MERIT_FLOOR_PAPER)
    if spec.task == "regression":
        known = least_error > ERROR_KNOWN
        losses = keras.ops.where(known, losses / keras.ops.where(known, least_error, 1.0), 0.0)
    return -keras.ops.log(keras.ops.exp(-losses) + MERIT_FLOOR)


@keras.saving.register_keras_serializable(package="hedge_model")
class FactoredRMS(keras.layers.Layer):  # type: ignore[misc]  # Keras is published without types
    """Descent by rank-one steps over running root mean squares, one number a neuron instead of one a weight.

    The gradient of a layer's kernel at one event is a_i g_j: inputs times gradient by the layer's sums. A
    hidden kernel takes W_ij -= rate · a_i / √E[a_i²] · g_j / √E[g_j²]; the first layer's and depth 0's
    inputs, standardised already, are not scaled; the errors of a head share one root mean square. Running
    means are corrected for their start at 0 as in Adam (Kingma & Ba, 2015, section 3); factored second
    moments are Adafactor's idea (Shazeer & Stern, 2018). The last `n_rows` inputs are categories: each of
    their rows moves by gradient over the root of the sum of its mean squares so far. It is a
    layer so that its variables are saved with the network.
    """

    def __init__(
        self,
        hidden_layers: int,
        width: int,
        learning_rate: float,
        fast_start: int,
        decay: float,
        n_rows: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=False, **kwargs)
        self.hidden_layers, self.width = hidden_layers, width
        self.learning_rate, self.fast_start, self.decay = learning_rate, fast_start, decay
        self.n_rows = n_rows

    def build(self, input_shape: object = None) -> None:
        """Make the running means: zeros."""
        layers, between = self.hidden_layers, max(self.hidden_layers - 1, 0)

        def zeros(name: str, *shape: int) -> Any:
            return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)

        self.gradient_square = zeros("gradient_square", layers, self.width)  # by each unit's sum
        self.activation_square = zeros("activation_square", between, self.width)  # what layers 2 to L receive
        self.row_square = zeros("row_square", self.n_rows)  # sums, of each category's mean squares
        self.error_square = zeros("error_square", layers + 1)  # of each head, over its outputs
        self.decayed = self.add_weight(  # decay ** (events learned); 1 minus it needs the digits
            name="decayed", shape=(), initializer="ones", trainable=False, dtype="float64"
        )
        self.learned = self.add_weight(  # events, for the fast start
            name="learned", shape=(), initializer="zeros", trainable=False, dtype="float64"
        )
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        sizes = {"hidden_layers": self.hidden_layers, "width": self.width, "n_rows": self.n_rows}
        rates = {"learning_rate": self.learning_rate, "fast_start": self.fast_start, "decay": self.decay}
        return {**super().get_config(), **sizes, **rates}

    def least_error(self) -> Any:
        """Least running mean square error of any head before the event under way; 0 before the first."""
        heads, held = self.hidden_layers + 1, self._correction(self.decayed)  # heads carry 1 / heads each
        return keras.ops.min(self.error_square) * heads**2 / keras.ops.where(held > 0, held, 1.0)

    def descend(
        self, hidden: list[Any], heads: list[Any], activations: list[Any], by_sums: list[Any]
    ) -> None:
        """Step all weights after one event.

        activations: u_0 … u_L, each [units]; by_sums: the objective's gradient by what each hidden layer and
        each head adds up, before rectifier and softmax, each [units].
        """
        longer = 1 + self.fast_start / (1 + self.learned / FAST_START_EVENTS)
        rate = keras.ops.cast(self.learning_rate * longer, self.compute_dtype)
        self.decayed.assign(self.decayed * self.decay)
        self.learned.assign(self.learned + 1)
        if hidden:
            gradients = keras.ops.stack(by_sums[: len(hidden)])
            steps = rate * gradients / self._roots(self.gradient_square, gradients)
            dense = activations[0].shape[0] - self.n_rows
            by_inputs = [_outer(activations[0][:dense], steps[0])]
            if self.n_rows:
                by_inputs.append(self._row_steps(activations[0][dense:], gradients[0]))
            hidden[0].kernel.assign_sub(keras.ops.concatenate(by_inputs))
            for place, layer in enumerate(hidden):
                layer.bias.assign_sub(steps[place])
        if len(hidden) > 1:
            received = keras.ops.stack(activations[1:-1])
            scaled = received / self._roots(self.activation_square, received)
            for place, layer in enumerate(hidden[1:]):
                layer.kernel.assign_sub(_outer(scaled[place], steps[place + 1]))
        errors = keras.ops.stack(by_sums[len(hidden) :])
        squares = self._kept(self.error_square, keras.ops.mean(keras.ops.square(errors), axis=-1))
        roots = keras.ops.sqrt(squares / self._correction(self.decayed)) + HEAD_FLOOR
        steps = rate * errors / roots[:, None]
        for place, (head, units) in enumerate(zip(heads, activations, strict=True)):
            head.bias.assign_sub(steps[place])
            head.kernel.assign_sub(_outer(units, steps[place]))

    def _row_steps(self, times: Any, gradient: Any) -> Any:
        """Steps of the categories' rows [rows, units], each named `times` by the event: AdaGrad."""
        square = keras.ops.mean(keras.ops.square(gradient))
        self.row_square.assign_add(times * square)
        rates = times * ROW_RATE / keras.ops.sqrt(self.row_square + ROW_FLOOR)
        return _outer(rates, gradient)

    def _correction(self, decayed: Any) -> Any:
        return keras.ops.cast(1 - decayed, self.compute_dtype)

    def _kept(self, running: Any, squares: Any) -> Any:
        running.assign(self.decay * running + (1 - self.decay) * squares)
        return running.value

    def _roots(self, running: Any, values: Any) -> Any:
        squares = self._kept(running, keras.ops.square(values))
        floor = FLOOR_SHARE * keras.ops.mean(squares, axis=-1, keepdims=True) + FLOOR_MIN
        return keras.ops.sqrt((squares + floor) / self._correction(self.decayed))


def _outer(inputs: Any, step: Any) -> Any:
    return tf.tensordot(inputs, step, axes=0)
