"""A picture of how far hedging trusts each depth, for notebooks. Needs matplotlib, imported when it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR = "#0072b2"
LABELS_MAX = 12  # beyond these, numbers on the bars would touch each other


def plot_depth_weights(weights: npt.ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw depth weights on `ax` (None: of a new pyplot figure, which notebooks show) and return it.

    Weights of one moment, [L + 1] as `HedgeLearner.depth_weights` gives them, become bars; a history of
    them, [events, L + 1], becomes bands over the events. Raises `ValueError` for any other shape.

    A hedge weight tells how well a depth has predicted of late. It is what the depth counts in the prediction
    of presets "g16" and "paper" (`window = 0`); in the default a regression over depths and experts decides.

    >>> from hedge_model import HedgeLearner, ModelSpec
    >>> learner = HedgeLearner(ModelSpec(hidden_layers=2))
    >>> plot_depth_weights(learner.depth_weights()).get_ylabel()
    'hedge weight of the depth'
    """
    shares = np.asarray(weights, np.float64)
    if shares.ndim not in (1, 2) or not shares.size:
        raise ValueError(f"expected weights of shape [depths] or [events, depths], received {shares.shape}")
    ax = _new_axes() if ax is None else ax
    if shares.ndim == 1:
        _draw_bars(ax, shares)
    else:
        _draw_bands(ax, shares)
    ax.set_ylim(0, 1)
    ax.set_ylabel("hedge weight of the depth")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _new_axes() -> Axes:
    from matplotlib import pyplot

    axes: Axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")[1]
    return axes


def _draw_bars(ax: Axes, shares: npt.NDArray[np.float64]) -> None:
    depths = np.arange(len(shares))
    bars = ax.bar(depths, shares, color=COLOUR)
    if len(shares) <= LABELS_MAX:
        ax.bar_label(bars, fmt="%.2f", padding=2)
        ax.set_xticks(depths)
    ax.set_xlabel("depth (0: straight from the inputs)")


def _draw_bands(ax: Axes, shares: npt.NDArray[np.float64]) -> None:
    names = [f"depth {depth}" for depth in range(shares.shape[1])]
    ax.stackplot(np.arange(len(shares)), shares.T, labels=names)
    ax.set_xlabel("events")
    ax.set_xlim(0, max(len(shares) - 1, 1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, reverse=True)
