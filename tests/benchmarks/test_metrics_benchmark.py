"""The benchmark of metrics answers its questions, at a hundredth of its size."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "metrics.py"


def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    file = tmp_path / "new" / "metrics.json"
    command = [sys.executable, str(BENCHMARK), "--size", "0.01", "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    figures = json.loads(file.read_text())
    assert len(figures) == 7 and all(value > 0 for value in figures.values())
    assert "counting, share of a prediction (goal 0.03)" in figures
