"""The results as a picture: one line a stream, one mark a learner."""

from pathlib import Path
from typing import Any

from quality_parts.tables import REFERENCE, Results

MARKS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">")
PANELS = {"accuracy": "accuracy", "log_loss": "log-loss (less is better)"}


def draw(path: Path, results: Results) -> None:
    """Accuracy and log-loss of every learner that learned as much as ours, in the format of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    streams = [name for name, of_stream in results.items() if "accuracy" in of_stream.get(REFERENCE, {})]
    if not streams:
        raise SystemExit(f"expected results of '{REFERENCE}' on streams with classes to draw, received none")
    streams.sort(key=lambda name: results[name][REFERENCE]["accuracy"])
    height = 1.5 + 0.28 * len(streams)
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(11, height), sharey=True, layout="constrained")
    for panel, (score, title) in zip(axes, PANELS.items(), strict=True):
        _panel(panel, results, streams, score)
        panel.set_title(title)
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(streams)), streams)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _panel(panel: Any, results: Results, streams: list[str], score: str) -> None:
    learners = list(dict.fromkeys(learner for name in streams for learner in results[name]))
    for number, learner in enumerate(learners):
        places = [
            (results[name][learner][score], at)
            for at, name in enumerate(streams)
            if learner in results[name]
            and results[name][learner]["events"] == results[name][REFERENCE]["events"]
        ]
        if not places:
            continue
        is_ours = learner == REFERENCE
        panel.scatter(
            *zip(*places, strict=True),
            label=learner,
            marker=MARKS[number % len(MARKS)],
            s=70 if is_ours else 28,
            color="black" if is_ours else f"C{(number - 1) % 10}",
            alpha=1.0 if is_ours else 0.75,
            zorder=3 if is_ours else 2,
        )
