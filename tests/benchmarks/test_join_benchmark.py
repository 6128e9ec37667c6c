"""The benchmark of late labels answers its questions."""

import json
import subprocess
import sys
from pathlib import Path

import log

BENCHMARK = Path(log.__file__).with_name("join.py")


def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    file = tmp_path / "new" / "join.json"
    command = [sys.executable, str(BENCHMARK), "--size", "0.01", "--json", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    figures = json.loads(file.read_text())
    assert all(value > 0 for value in figures.values()) and len(figures) == 6
    # Figures that no load on the machine can change.
    assert 100 < figures["bytes of a remembered prediction"] < 1_000
    assert 0.5 < figures["the same over its entry in the log"] < 3
