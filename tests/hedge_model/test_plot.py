"""The picture of the depth weights shows what it was given."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.plot import plot_depth_weights


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_each_depth_has_a_bar_of_its_weight() -> None:
    weights = HedgeLearner(ModelSpec(hidden_layers=3, width=8)).depth_weights()
    ax = plot_depth_weights(weights)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(weights)
    assert [text.get_text() for text in ax.texts] == ["0.25"] * 4
    image = io.BytesIO()
    ax.figure.savefig(image, format="png")
    assert image.getvalue().startswith(b"\x89PNG")


def test_a_history_becomes_bands_with_a_legend() -> None:
    history = np.full((10, 3), 1 / 3)
    ax = plot_depth_weights(history)
    assert len(ax.collections) == 3
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"depth 0", "depth 1", "depth 2"}


def test_it_draws_on_the_axes_it_is_given() -> None:
    ax = Figure().add_subplot()
    assert plot_depth_weights([0.25, 0.75], ax) is ax


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"received \(0,\)"):
        plot_depth_weights([])
    with pytest.raises(ValueError, match=r"received \(1, 1, 1\)"):
        plot_depth_weights([[[1.0]]])
