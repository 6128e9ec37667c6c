"""The picture of a demo: running scores against the base rate and depth 0 alone; weights of the depths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from odl.cli.demo.audit import Audit
from odl.cli.demo.scoreboard import Served
from odl.prequential import PROBABILITY_MIN, auc

mpl.use("Agg")  # no display is needed

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's colours, which people with any colour vision tell apart.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#7F7F7F", "#222222"
WARM_UP = 500  # running scores of fewer outcomes only show noise
POINTS = 80
DPI = 150

Floats = npt.NDArray[np.float64]


def draw(path: Path, served: Sequence[Served], audit: Audit, last_version: int) -> None:
    """Write the picture as PNG. `last_version`: of the log; this run's outcomes are the last ones in it."""
    late = np.array([one.late for one in served])
    model = np.array([one.probability for one in served])
    depth_0 = np.array(audit.depth_0)
    base = np.array([one.base_rate for one in served])
    first_version = last_version - len(served)
    style = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "text.color": INK}
    with plt.rc_context({**style, "axes.titleweight": "bold", "axes.titlelocation": "left"}):
        figure, (top, middle, bottom) = plt.subplots(
            3, 1, figsize=(9, 10.5), height_ratios=(1, 1, 0.8), layout="constrained"
        )
        x, at = _points(len(served), first_version)
        top.set_title("Area under the ROC curve: how well answers rank late flights (higher is better)")
        _lines(top, x, [_running_auc(p, late, at) for p in (model, depth_0)] + [np.full(len(at), 0.5)])
        middle.set_title("Log-loss: how honest the probabilities are (lower is better)")
        _lines(middle, x, [_running_log_loss(p, late, at) for p in (model, depth_0, base)])
        bottom.set_title("Hedge weights of the depths, learned online")
        _weights(bottom, audit, first_version)
        for axes in (top, middle):
            axes.set_xlim(first_version, last_version)
        figure.suptitle(
            f"Flights from New York, 2013: {len(served):,} predictions served, each scored when its flight "
            "had landed",
            fontsize=12,
            x=0.01,
            ha="left",
        )
        figure.savefig(path, dpi=DPI)
        plt.close(figure)


def _points(count: int, first_version: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Where running scores are drawn: versions, and how many outcomes each score is of."""
    at = np.unique(np.linspace(min(WARM_UP, count), count, POINTS).astype(np.int64))
    return first_version + at.astype(np.float64), at


def _running_auc(p: Floats, late: npt.NDArray[np.bool_], at: npt.NDArray[np.int64]) -> Floats:
    def one(n: int) -> float:
        n_late = int(late[:n].sum())
        return auc(p[:n].tolist(), late[:n].tolist()) if 0 < n_late < n else float("nan")

    return np.array([one(n) for n in at])


def _running_log_loss(p: Floats, late: npt.NDArray[np.bool_], at: npt.NDArray[np.int64]) -> Floats:
    loss = -np.log(np.maximum(np.where(late, p, 1 - p), PROBABILITY_MIN))
    running: Floats = (np.cumsum(loss) / np.arange(1, len(loss) + 1))[at - 1]
    return running


def _lines(axes: Any, x: Floats, series: list[Floats]) -> None:
    """The network, depth 0 alone and the base rate, each named at its end with its last value."""
    names = ("network", "depth 0 alone", "base rate")
    looks = (("-", BLUE, 2.4), ("--", ORANGE, 1.8), (":", GREY, 1.8))
    for y, name, (line, colour, width) in zip(series, names, looks, strict=True):
        axes.plot(x, y, line, color=colour, linewidth=width, label=f"{name}  {y[-1]:.3f}")
    axes.legend(loc="upper center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.0))
    low, high = float(np.nanmin(series)), float(np.nanmax(series))
    room = max(high - low, 0.01)
    axes.set_ylim(low - 0.08 * room, high + 0.25 * room)  # room for the names above the lines
    axes.grid(axis="y", alpha=0.25)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _weights(axes: Axes, audit: Audit, first_version: int) -> None:
    versions = [version for version, _ in audit.weights]
    weights = np.array([weights for _, weights in audit.weights]).T
    colours = plt.get_cmap("cividis")(np.linspace(0.08, 0.95, len(weights)))
    names = [f"depth {depth}{' (linear)' if depth == 0 else ''}" for depth in range(len(weights))]
    areas = axes.stackplot(versions, weights, colors=colours, edgecolor="white", linewidth=0.5)
    axes.legend(
        areas[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, reverse=False
    )
    if first_version:
        axes.axvline(first_version, color="white", linewidth=2)
        axes.axvline(first_version, color=INK, linewidth=1, linestyle="--")
        axes.annotate(" this run", (first_version, 1.01), xycoords=("data", "axes fraction"), fontsize=8)
    axes.set_xlim(0, max(versions[-1], 1))
    axes.set_ylim(0, 1)
    axes.set_xlabel("version: outcomes learned")
    axes.xaxis.set_major_formatter("{x:,.0f}")
