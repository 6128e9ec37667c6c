"""Weights move between the flat buffer and named arrays without loss."""

import numpy as np
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.layout import LANES, Layout, fill, unpadded


@pytest.mark.parametrize("depths", [0, 1, 2, 20])
def test_weights_come_back_as_they_were(depths: int) -> None:
    layout = Layout(hidden_layers=depths, width=20, columns=5, classes=3)
    views = layout.views(layout.allocate())
    weights = unpadded(layout, views)
    random = np.random.default_rng(0)
    written = {name: random.random(array.shape).astype(np.float32) for name, array in weights.items()}
    fill(layout, views, written)
    again = unpadded(layout, views)
    assert all((again[name] == written[name]).all() for name in weights)
    assert len(weights) == 3 + (depths and 1 + (depths - 1) + 3 * depths)


def test_rows_begin_at_whole_vectors() -> None:
    layout = Layout(hidden_layers=3, width=33, columns=7, classes=5)
    assert all(slot.offset % LANES == 0 for slot in layout.slots.values())
    assert layout.allocate().ctypes.data % 64 == 0


def test_other_names_shapes_and_nan_are_refused() -> None:
    learner = HedgeLearner(ModelSpec(classes=("a", "b"), fields={"f": "number"}, hidden_layers=1, width=8))
    weights = learner.weights()
    with pytest.raises(ValueError, match="missing or unknown: bias"):
        learner.set_weights({**weights, "bias": weights["alpha"]})
    with pytest.raises(ValueError, match=r"expected 'alpha' of shape \(2,\), received \(3,\)"):
        learner.set_weights({**weights, "alpha": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match="expected finite numbers in 'alpha'"):
        learner.set_weights({**weights, "alpha": np.full(2, np.nan, np.float32)})


def test_weights_that_were_set_are_predicted_with() -> None:
    learner = HedgeLearner(
        ModelSpec(classes=("a", "b"), fields={"f": "number"}, preset="g16", hidden_layers=0)
    )
    weights = learner.weights()
    weights["head_0/bias"] = np.array([0.0, np.log(3.0)], np.float32)
    learner.set_weights(weights)
    assert learner.predict_proba_one({"f": 1.0})["b"] == pytest.approx(0.75)
