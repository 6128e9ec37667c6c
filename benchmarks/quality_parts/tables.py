"""What is said about the results: means over streams, tables for a terminal and for a document."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table

Scores: TypeAlias = dict[str, Any]
Results: TypeAlias = dict[str, dict[str, Scores]]  # stream -> learner -> scores

REFERENCE = "ours"
FIRST = 500  # events of the score that tells how fast a learner starts
COLUMNS = {  # score -> heading and digits
    "events": ("events", 0),
    "first": (f"first {FIRST}", 4),
    "accuracy": ("accuracy", 4),
    "kappa": ("kappa", 3),
    "auc": ("AUC", 4),
    "log_loss": ("log-loss", 4),
    "calibration_error": ("calibration", 4),
    "mae": ("MAE", 4),
    "rmse": ("RMSE", 4),
    "us": ("µs", 1),
}
MEANS = {  # of the summary, each once for the learner and once for ours on the same events
    "accuracy": "accuracy",
    "first": f"first {FIRST}",
    "log_loss": "log-loss",
    "calibration_error": "calibration",
}


def compare(results: Results, name: str) -> dict[str, float]:
    """Means of a learner over the streams with classes, and how it stands to ours on the same events."""
    rows: list[tuple[Scores, Scores, float]] = []
    for of_stream in results.values():
        if name in of_stream and REFERENCE in of_stream and "accuracy" in of_stream[name]:
            theirs, ours = of_stream[name], of_stream[REFERENCE]
            same = ours if theirs["events"] == ours["events"] else ours["prefix"] | {"first": ours["first"]}
            rows.append((theirs, same, theirs["us"] / ours["us"]))
    if not rows:
        return {}
    found: dict[str, float] = {"streams": len(rows)}
    for score in MEANS:
        both = [(theirs[score], ours[score]) for theirs, ours, _ in rows if score in theirs and score in ours]
        if both:
            found[score] = math.fsum(theirs for theirs, _ in both) / len(both)
            found[f"{score}_of_ours"] = math.fsum(ours for _, ours in both) / len(both)
    return found | {
        "better_on": sum(theirs["accuracy"] > ours["accuracy"] for theirs, ours, _ in rows),
        "us_over_ours": math.exp(math.fsum(math.log(ratio) for *_, ratio in rows) / len(rows)),
    }


def show(console: Console, results: Results, summary: dict[str, dict[str, float]]) -> None:
    """Print every score, and the means."""
    used = {score for of_stream in results.values() for row in of_stream.values() for score in row}
    scores = [score for score in COLUMNS if score in used]
    table = Table("stream", "learner", box=None)
    for score in scores:
        table.add_column(COLUMNS[score][0], justify="right")
    for stream, of_stream in results.items():
        for number, (learner, row) in enumerate(of_stream.items()):
            cells = [f"{row[s]:,.{COLUMNS[s][1]}f}" if s in row else "" for s in scores]
            table.add_row("" if number else stream, learner, *cells)
        table.add_section()
    console.print(table)
    if not any(summary.values()):
        return
    table = Table("means", box=None, title="Over streams with classes, each beside ours on the same events")
    for heading in ("streams", *MEANS.values(), "better on", "µs / ours"):
        table.add_column(heading, justify="right")
    for learner, means in summary.items():
        if means:
            cells = [
                f"{means[score]:.4f} / {means[f'{score}_of_ours']:.4f}" if score in means else ""
                for score in MEANS
            ]
            ends = (f"{means['better_on']:.0f}", f"{means['us_over_ours']:.2f}")
            table.add_row(learner, f"{means['streams']:.0f}", *cells, *ends)
    console.print(table)


def markdown(results: Results, summary: dict[str, dict[str, float]], learners: Sequence[str]) -> str:
    """A table for a document: accuracy / log-loss of each learner on each stream with classes. A learner that
    saw the first events only is followed by ours on these."""
    lines = [f"| stream | events | {' | '.join(learners)} |", "|---" * (len(learners) + 2) + "|"]
    for stream, of_stream in results.items():
        ours = of_stream.get(REFERENCE, {})
        if "accuracy" not in ours:
            continue
        cells = []
        for learner in learners:
            row = of_stream.get(learner, {})
            cell = f"{row['accuracy']:.3f} / {row['log_loss']:.3f}" if row else ""
            if row and row["events"] != ours["events"]:
                cell += f" ({ours['prefix']['accuracy']:.3f} / {ours['prefix']['log_loss']:.3f})"
            cells.append(cell)
        lines.append(f"| {stream} | {ours['events']:,} | {' | '.join(cells)} |")
    for heading, form in (
        ("**mean**", "{accuracy:.3f} / {log_loss:.3f}"),
        (f"first {FIRST} events", "{first:.3f}"),
        ("calibration error", "{calibration_error:.3f}"),
        ("µs, as a multiple of ours", "{us_over_ours:.2g}"),
        ("more accurate than ours on", "{better_on}"),
    ):
        rows = [summary.get(learner) for learner in learners]
        if all(row is None or "first" in row or "first" not in form for row in rows):
            lines.append(f"| {heading} | | {' | '.join(form.format(**row) if row else '' for row in rows)} |")
    return "\n".join(lines)
