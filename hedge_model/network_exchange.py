"""Between the Keras network and the compiled learner: weights both ways, bit for bit, and an event's inputs.

The network has one input for every dense column of the learner (numbers, ramps, missing indicators) and, if
the learner knows a category field, one for every row of its hashed table: how often the event names it. The
network predicts the mixture of its depths; the experts that the default has beside them stay in the learner.

>>> from hedge_model.learner import HedgeLearner
>>> from hedge_model.spec import ModelSpec
>>> spec = ModelSpec(task="binary", classes=("no", "yes"), preset="g16", hidden_layers=2, width=8, ramps=0)
>>> learner = HedgeLearner(spec)
>>> learner.learn_one({"age": 31, "height": 1.7}, "yes")
>>> network = network_of(learner)
>>> prediction = network.predict(inputs_of(learner, {"age": 40, "height": 1.8})[None], verbose=0)
>>> abs(float(prediction[0, 1]) - learner.predict_proba_one({"age": 40, "height": 1.8})["yes"]) < 1e-6
True
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hedge_model.encoder import Features
from hedge_model.kernel.definitions import DECAYED, LEARNED
from hedge_model.kernel.initial import fill_rows
from hedge_model.layout import Floats
from hedge_model.learner import HedgeLearner
from hedge_model.network import HedgeNetwork

TOUCHED = 2  # a table row that differs from its initial weights


def network_of(learner: HedgeLearner, dtype: str = "float32") -> HedgeNetwork:
    """The network that predicts and goes on as `learner` does. Raises `ValueError` before the first class."""
    state = learner._state
    if not state.shape.layout.classes:
        raise ValueError("expected a learner that knows its classes: declare them, or let it learn an event")
    rows = _table_rows(learner)
    inputs, apart = state.shape.layout.columns + rows, rows if learner.spec.preset == "default" else 0
    network = HedgeNetwork(
        learner.spec,
        inputs,
        state.shape.layout.classes,
        n_rows=apart,
        slow=state.shape.categorical,
        dtype=dtype,
    )
    weights = learner.weights()
    if rows:
        table, table0 = _table(learner)
        weights["head_0/kernel"] = np.vstack([weights["head_0/kernel"], table0])
        if learner.spec.hidden_layers:
            weights["input/kernel"] = np.vstack([weights["input/kernel"], table])
    network.set_weights_dict(weights)
    for name, variable in _running(network).items():
        variable.assign(_kept(learner, name, variable.shape))
    if network.descent is not None and network.n_rows and learner.spec.hidden_layers and state.touched.size:
        squares = state.table[:, state.shape.plan.units].copy()
        squares[state.touched != TOUCHED] = 0.0
        network.descent.row_square.assign(squares)
    if network.descent is not None:
        network.descent.decayed.assign(state.moments[DECAYED])
        network.descent.learned.assign(state.moments[LEARNED])
    return network


def learner_of(network: HedgeNetwork, like: HedgeLearner) -> HedgeLearner:
    """A copy of the learner `like` with the network's weights and running mean squares.

    Fields, moments and version are those of `like`. Weights become float32. Raises `ValueError` unless both
    have one spec and as many inputs and outputs.
    """
    rows, columns = _table_rows(like), like._state.shape.layout.columns
    expected = (columns + rows, like._state.shape.layout.classes)
    if network.spec != like.spec or (network.n_inputs, network.n_outputs) != expected:
        raise ValueError(
            f"expected a network of the learner's spec with {expected[0]} inputs and {expected[1]} outputs, "
            f"received {network.n_inputs} and {network.n_outputs} of "
            f"{'the same' if network.spec == like.spec else 'another'} spec"
        )
    learner = HedgeLearner.from_bytes(like.to_bytes())
    weights = {name: array.astype(np.float32) for name, array in network.weights_dict().items()}
    first = {name: weights[name] for name in weights if name in ("input/kernel", "head_0/kernel")}
    learner.set_weights({**weights, **{name: kernel[:columns] for name, kernel in first.items()}})
    if rows:
        squares = None
        if network.descent is not None and network.n_rows:
            squares = np.array(network.descent.row_square)
        _fill_table(learner, {name: kernel[columns:] for name, kernel in first.items()}, squares)
    for name, variable in _running(network).items():
        _kept(learner, name, variable.shape)[...] = np.array(variable)
    if network.descent is not None:
        learner._state.moments[DECAYED] = float(network.descent.decayed)
        learner._state.moments[LEARNED] = float(network.descent.learned)
    return HedgeLearner.from_bytes(learner.to_bytes())  # bound to arrays that may be new


def inputs_of(learner: HedgeLearner, x: Features) -> Floats:
    """What the network receives for `x`, [n_inputs], if `x` is the next event that `learner` learns."""
    inputs = np.zeros(learner._state.shape.layout.columns + _table_rows(learner), np.float32)
    inputs[: learner._state.shape.layout.columns] = learner.inputs_one(x)
    np.add.at(inputs, learner._state.shape.layout.columns + np.array(learner.rows_one(x), np.int64), 1.0)
    return inputs


def _table_rows(learner: HedgeLearner) -> int:
    return 2**learner.spec.hash_bits if learner.rows_one({}) else 0  # a missing category has a row too


def _initial_table(learner: HedgeLearner) -> Floats:
    state, width = learner._state, learner.spec.width
    table = np.zeros((2**learner.spec.hash_bits, width), np.float32)
    fill_rows(
        table.reshape(-1), 0, width, width, state.shape.table_key, 0, len(table), state.shape.table_limit
    )
    return table


def _table(learner: HedgeLearner) -> tuple[Floats, Floats]:
    """Category rows of the first layer [rows, H] and of depth 0 [rows, C], those nobody touched included."""
    state, table = learner._state, _initial_table(learner)
    table0 = np.zeros((len(table), state.shape.layout.classes), np.float32)
    learned = state.learned_rows()
    if learned.size:
        table0[learned] = state.table0[learned, : state.shape.layout.classes]
        if learner.spec.hidden_layers:
            table[learned] = state.table[learned, : learner.spec.width]
    return table, table0


def _fill_table(learner: HedgeLearner, kernels: dict[str, Floats], squares: Floats | None) -> None:
    """Write category rows; those at their initial weights stay unmade, as if nobody had touched them."""
    state, table0, table = learner._state, kernels["head_0/kernel"], kernels.get("input/kernel")
    state.open_table()
    differs = table0.any(axis=1)
    if table is not None:
        differs |= (table != _initial_table(learner)).any(axis=1)
        state.table[differs, : learner.spec.width] = table[differs]
        if squares is not None:
            state.table[differs, state.shape.plan.units] = squares[differs]
    state.table0[differs, : state.shape.layout.classes] = table0[differs]
    state.touched[:] = np.where(differs, TOUCHED, 0)


def _running(network: HedgeNetwork) -> dict[str, Any]:
    """The optimiser's running mean squares under the names of the learner's buffer."""
    if network.descent is None:
        return {}
    names = ("gradient_square", "activation_square", "error_square")
    return {name: getattr(network.descent, name) for name in names}


def _kept(learner: HedgeLearner, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A view of one array of the learner's buffer without its padding."""
    return learner._state.views[name][tuple(slice(length) for length in shape)]
