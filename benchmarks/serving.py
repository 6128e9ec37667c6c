"""How fast is the server, and against what?

Questions: is one replica, which for every request reads the head of the log and predicts with the paper's
network (20 x 100), faster than seldon-core's own server around a model that does nothing; what does it add to
its HTTP server and to a round trip to Redis; what memory does it need against the network in Keras; what does
a second replica on a second core add.

Real servers as processes of their own, the same body of 28 features, the server under test alone on one core,
load by wrk (or a small client, which is slower) from the other. What is compared is measured in turns within
one run; medians. Processor time of the serving process is told beside the clock: it says more where others
use the machine. `python benchmarks/serving.py [--json FILE] [--size 0.1] [--only against ...]`
"""

import argparse
import json
import os
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table
from serving_parts import against, floors, memory, profile, scale
from serving_parts.load import PROGRAM

PARTS = {part.__name__.rpartition(".")[2]: part.measure for part in (against, memory, scale, floors, profile)}
AT_LEAST = ("req/s", "two replicas")  # goals that are lower bounds
_GOAL = re.compile(r"\(goal ([0-9.]+)\)$")


def verdict(name: str, value: float) -> str:
    """Whether a figure with a goal in its name meets it; empty without a goal.

    >>> verdict("p50 (goal 0.6)", 0.5), verdict("64 connections, req/s (goal 5)", 4.0), verdict("x", 1)
    ('met', 'missed', '')
    """
    found = _GOAL.search(name)
    if found is None:
        return ""
    goal, is_floor = float(found[1]), any(word in name for word in AT_LEAST)
    return "met" if (value >= goal if is_floor else value <= goal) else "missed"


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description="How fast is the server, and against what?")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work (1.0)")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="some parts")
    arguments = parser.parse_args()
    console = Console(width=110)
    figures: dict[str, float] = {}
    table = Table("figure", "", "goal", title=f"The server; load by {PROGRAM}, {os.cpu_count()} cores")
    table.columns[1].justify = "right"
    for part in arguments.only:
        measured = PARTS[part](arguments.size)
        for name, value in measured.items():
            table.add_row(name, f"{value:,.3f}" if value < 10 else f"{value:,.0f}", verdict(name, value))
        table.add_section()
        figures |= measured
    console.print(table)
    if arguments.json:
        file = Path(arguments.json)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
