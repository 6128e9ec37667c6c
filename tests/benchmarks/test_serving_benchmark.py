"""The server's benchmark answers every question, and says truly which goals were met."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import serving

BENCHMARK = Path(serving.__file__)
RATIOS = [
    "predict, 1 connection, p50 ms: ratio (goal 0.6)",
    "predict, 64 connections, req/s: ratio (goal 5)",
    "predict, 1 connection, cpu us a request: ratio",
    "feedback, 1 connection, p50 ms: ratio (goal 0.6)",
]
OF_OURS = ["PING by a bare socket, us", "head check, us", "predict, 20 x 100, us"]


def run(file: Path, *arguments: str, **environment: str) -> dict[str, float]:
    command = [sys.executable, str(BENCHMARK), "--size", "0.01", "--json", str(file), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=os.environ | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(file.read_text())
    return figures


@pytest.mark.skipif(importlib.util.find_spec("seldon_core") is None, reason="needs the extra `seldon`")
def test_a_tiny_run_compares_with_seldon_core(tmp_path: Path) -> None:
    figures = run(tmp_path / "new" / "serving.json", "--only", "against")
    assert set(RATIOS) <= set(figures)
    assert all(value >= 0 for value in figures.values())  # processor time is counted in hundredths


def test_a_tiny_run_without_wrk_measures_floors_and_two_replicas(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    figures = run(tmp_path / "serving.json", "--only", "floors", "scale", PATH=str(tools))
    assert set(OF_OURS) <= set(figures)
    assert all(figures[name] > 0 for name in OF_OURS)
    if len(os.sched_getaffinity(0)) > 1:
        assert figures["two replicas over one, req/s: ratio (goal 1.7)"] > 0


@pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk here: apt-get install it")
def test_a_server_that_refuses_is_not_measured(tmp_path: Path) -> None:
    from serving_parts.load import Load, Running
    from serving_parts.servers import Server

    load = Load(tmp_path, "/nowhere", b"{}", [0])
    server = Server("http://127.0.0.1:1", os.getpid())
    running: Running = load.start(server, 1, 1)
    with pytest.raises(SystemExit, match="expected every request"):
        load.finish(server, running)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("predict, 1 connection, p50 ms: ratio (goal 0.6)", 0.6, "met"),
        ("predict, 1 connection, p50 ms: ratio (goal 0.6)", 0.61, "missed"),
        ("predict, 64 connections, req/s: ratio (goal 5)", 5.1, "met"),
        ("predict, 64 connections, req/s: ratio (goal 5)", 4.9, "missed"),
        ("two replicas over one, req/s: ratio (goal 1.7)", 1.6, "missed"),
        ("memory of a serving process: ratio (goal 0.5)", 0.4, "met"),
        ("PING by redis-py, us", 40.0, ""),
    ],
)
def test_a_goal_is_met_or_missed(name: str, value: float, expected: str) -> None:
    assert serving.judge(name, value) == expected
