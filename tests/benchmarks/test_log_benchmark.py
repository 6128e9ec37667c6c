"""The log's benchmark answers every question, and says truly which goals were met."""

import json
import subprocess
import sys
from pathlib import Path

import log
import pytest

BENCHMARK = Path(log.__file__)
RATIOS = [
    "pipelined over one by one (goal 3)",
    "append: dearest over cheapest model (goal 1.1)",
    "append pipelined over SET under a lock (goal 30)",
    "bytes: SET over append one by one (goal 1000)",
    "acknowledged to visible in all 3, p99, ms (goal 5)",
    "head check over PING (goal 1.5)",
    "predictions per head check, 64 callers (goal 8)",
    "default 3x100: catch-up, share of the compiled loop's speed (goal 0.8)",
    "p99 of predict: with over without (goal 2)",
]


def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    file = tmp_path / "new" / "log.json"
    command = [sys.executable, str(BENCHMARK), "--size", "0.001", "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    figures = json.loads(file.read_text())
    assert set(RATIOS) <= set(figures)
    assert all(value > 0 for value in figures.values())
    # One that no load on the machine can change.
    assert figures["bytes: SET over append one by one (goal 1000)"] > 1_000
    assert run.stdout.count("met") + run.stdout.count("missed") >= len(RATIOS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("pipelined over one by one (goal 3)", 3.0, "met"),
        ("pipelined over one by one (goal 3)", 2.9, "missed"),
        ("head check over PING (goal 1.5)", 1.5, "met"),
        ("acknowledged to visible in all 3, p99, ms (goal 5)", 5.1, "missed"),
        ("append: dearest over cheapest model (goal 1.1)", 1.2, "missed"),
        ("p99 of predict: with over without (goal 2)", 1.0, "met"),
        ("PING, us", 40.0, ""),
    ],
)
def test_a_goal_is_met_or_missed(name: str, value: float, expected: str) -> None:
    assert log.judge(name, value) == expected
