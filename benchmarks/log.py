"""How fast is the log, and against what?

Questions: what does pipelining give one consumer; does an append cost more when the model is larger; how does
the log compare with storing the weights under a lock; how soon is acknowledged feedback visible in every
replica; what does the newest-version guarantee cost a prediction; how near does a cold replica come to the
kernel's speed; what do predictions feel of snapshots.

A real Valkey (append-only file, fsync every second), Kafka's mock broker. What is compared is measured in
turns within one run; medians. `python benchmarks/log.py [--json FILE] [--size 0.1] [--only heads …]`
"""

import argparse
import json
import re
from pathlib import Path

from log_parts import catch_up, growth, heads, ingest, obvious, snapshots, visible
from rich.console import Console
from rich.table import Table

PARTS = {
    part.__name__.rpartition(".")[2]: part.measure
    for part in (ingest, growth, obvious, visible, heads, catch_up, snapshots)
}
AT_MOST = ("append: dearest", "acknowledged", "head check", "p99 of predict")  # goals that are upper bounds
_GOAL = re.compile(r"\(goal ([0-9.]+)\)$")


def verdict(name: str, value: float) -> str:
    """Whether a figure with a goal in its name meets it; empty without a goal.

    >>> verdict("head check over PING (goal 1.5)", 1.3), verdict("pipelined (goal 3)", 2.0), verdict("x", 1)
    ('met', 'missed', '')
    """
    found = _GOAL.search(name)
    if found is None:
        return ""
    goal = float(found[1])
    is_met = value <= goal if name.startswith(AT_MOST) else value >= goal
    return "met" if is_met else "missed"


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description="How fast is the log, and against what?")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work (1.0)")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="some parts")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    table = Table("figure", "", "goal", title="The log")
    table.columns[1].justify = "right"
    for part in arguments.only:
        measured = PARTS[part](arguments.size)
        for name, value in measured.items():
            table.add_row(name, f"{value:,.2f}", verdict(name, value))
        table.add_section()
        figures |= measured
    Console(width=110).print(table)
    if arguments.json:
        file = Path(arguments.json)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
