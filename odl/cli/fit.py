"""`odl fit data.csv --label y`: fold a file offline, test-then-train; scores, a picture, a model to keep."""

import argparse
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hedge_model import HedgeLearner, ModelSpec
from odl.cli.table import Table, open_table
from odl.errors import Misconfigured
from odl.prequential import Prequential
from streaming.row_events import class_name

CLASSES_GUESSED_MAX = 20  # a column of numbers with more distinct values is taken for a regression target
CURVE_POINTS = 400  # of the picture


@dataclass
class Curve:
    """What the picture shows, sampled while folding."""

    events: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)  # accuracy, or mean absolute error
    depths: list[list[float]] = field(default_factory=list)  # weights of the depths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl fit`."""
    parser.add_argument("data", type=Path, help="a CSV file with a header, oldest row first")
    parser.add_argument("--label", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--task", choices=("binary", "multiclass", "regression"), help="guessed from the labels"
    )
    parser.add_argument("--spec", type=Path, metavar="FILE.toml", help="a file with a [model] table")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the learner, for `odl predict`")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw score and depth weights")


def run(args: argparse.Namespace) -> int:
    """Fold, print, keep."""
    console = Console()
    table = open_table(args.data)
    if args.label not in table.names:
        raise Misconfigured(f"{args.data} has no column '{args.label}'; it has {', '.join(table.names)}")
    learner = HedgeLearner(spec_for(table, args))
    scores, curve, unlabelled = fold(learner, table, args.label)
    console.print(f"{learner!r}", highlight=False)
    for name, value in asdict(scores.scores()).items():
        if value is not None:
            console.print(
                f"{name:20} {value:.4f}" if isinstance(value, float) else f"{name:20} {value}",
                highlight=False,
            )
    if unlabelled:
        console.print(f"{'rows without a label':20} {unlabelled} (passed over)", highlight=False)
    if args.save:
        args.save.write_bytes(learner.to_bytes())
        console.print(f"kept in {args.save}", highlight=False)
    if args.figure:
        draw(curve, learner.spec.task, args.figure)
        console.print(f"drawn in {args.figure}", highlight=False)
    return 0


def spec_for(table: Table, args: argparse.Namespace) -> ModelSpec:
    """The spec of `--spec`, else the defaults with the task that was named or that the labels suggest."""
    settings: dict[str, Any] = {}
    if args.spec:
        try:
            settings = dict(tomllib.loads(args.spec.read_text()).get("model", {}))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Misconfigured(f"{args.spec} cannot be read: {error}") from error
    settings["task"] = args.task or settings.get("task") or guess_task(table, args.label)
    try:
        return ModelSpec.from_dict(settings)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"{args.spec or args.data}: {error}") from error


def guess_task(table: Table, label: str) -> str:
    """Regression for a column of many distinct numbers, else the number of classes decides."""
    distinct = {x[label] for x in table.examples()} - {None}
    if label in table.numbers and len(distinct) > CLASSES_GUESSED_MAX:
        return "regression"
    return "binary" if len(distinct) == 2 else "multiclass"


def fold(learner: HedgeLearner, table: Table, label: str) -> tuple[Prequential, Curve, int]:
    """Test-then-train over the rows; the scores, the curve, and how many rows had no label."""
    scores, curve, unlabelled = Prequential(), Curve(), 0
    every = max(1, table.rows // CURVE_POINTS)
    columns = (
        TextColumn("fold"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[score]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("fold", total=table.rows, score="")
        for row, x in enumerate(table.examples(), start=1):
            y = x.pop(label)
            if y is None:
                unlabelled += 1
                continue
            target = y if learner.spec.task == "regression" else class_name(y)
            scores.update(learner.prequential_one(x, target), target)
            if row % every == 0 or row == table.rows:
                now = scores.scores()
                score = now.mae if now.accuracy is None else now.accuracy
                curve.events.append(row)
                curve.score.append(score or 0.0)
                curve.depths.append(learner.depth_weights())
                progress.update(task, completed=row, score=f"{score or 0.0:.4f}")
    return scores, curve, unlabelled


def draw(curve: Curve, task: str, path: Path) -> None:
    """Running score above, weights of the depths below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    upper.plot(curve.events, curve.score, color="#0072b2")
    upper.set_ylabel("mean absolute error" if task == "regression" else "accuracy")
    depths = list(zip(*curve.depths, strict=True))
    lower.stackplot(curve.events, depths, labels=[f"depth {d}" for d in range(len(depths))])
    lower.set(ylabel="weight of each depth", xlabel="events", ylim=(0, 1))
    lower.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
