"""How a benchmark shows its figures: a table as they come, JSON at the end. Goals stand in their names."""

import json
import re
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

Figures: TypeAlias = Mapping[str, float]  # name -> value

_GOAL = re.compile(r"\(goal ([0-9.]+)\)$")


def arguments_of(question: str, parts: Iterable[str] = ()) -> ArgumentParser:
    """What such a benchmark takes on its command line; `parts`: what may be asked for alone."""
    parser = ArgumentParser(description=question)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work (1.0)")
    if names := tuple(parts):
        parser.add_argument("--only", nargs="+", choices=names, default=names, help="some parts")
    return parser


def verdict(name: str, value: float, *, at_most: bool) -> str:
    """Whether a figure meets the goal in its name, which it may reach from below or from above.

    >>> verdict("p50 (goal 0.6)", 0.5, at_most=True), verdict("rate (goal 3)", 2.0, at_most=False)
    ('met', 'missed')
    >>> verdict("PING, us", 40.0, at_most=True)
    ''
    """
    found = _GOAL.search(name)
    if found is None:
        return ""
    goal = float(found[1])
    return "met" if (value <= goal if at_most else value >= goal) else "missed"


def show(
    title: str,
    parts: Iterable[Figures],
    file: Path | None,
    judge: Callable[[str, float], str] | None = None,
) -> None:
    """Print the figures of every part, and what `judge` says of each; write them as JSON if asked to."""
    figures: dict[str, float] = {}
    table = Table("figure", "", *(["goal"] if judge else []), title=title)
    table.columns[1].justify = "right"
    for part in parts:
        for name, value in part.items():
            shown = f"{value:,.3f}" if value < 10 else f"{value:,.1f}"
            table.add_row(name, shown, *([judge(name, value)] if judge else []))
        table.add_section()
        figures |= part
    Console(width=110).print(table)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=2))


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    began = clock()
    work()
    return clock() - began
