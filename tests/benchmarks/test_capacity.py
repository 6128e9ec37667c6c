"""The capacity plan: placement, queues and the figures it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from capacity_parts.fleet import Demand, Unit, place, plan, shares, waits_ms  # noqa: E402

UNIT = Unit(fold_us=15, predict_us=160, append_us=10, memory_bytes=1_000_000, log_bytes=350)


def test_placement_loses_no_load_and_overloads_no_core():
    loads = [share * 9 for share in shares(100, 0.6)]
    cores = place(loads, 0.7)
    assert sum(cores) == pytest.approx(sum(loads))
    assert max(cores) <= 0.7
    assert len(cores) <= 1.2 * sum(loads) / 0.7 + 1


def test_twice_the_events_take_about_twice_the_cores():
    one = plan(UNIT, Demand(100, 100_000, 0, 3, 0.5, 1_000))
    two = plan(UNIT, Demand(100, 200_000, 0, 3, 0.5, 1_000))
    assert 1.7 <= two.learner_cores / one.learner_cores <= 2.3
    assert two.redis_gib == one.redis_gib


def test_a_model_that_is_too_large_for_a_core_is_split_and_said_so():
    found = plan(UNIT, Demand(1, 100_000, 0, 2, 0.0, 1_000))
    assert found.too_large == 1
    assert found.largest_model_share == pytest.approx(1.5)
    assert found.learner_cores >= 2 * 1.5 / 0.7


def test_a_fuller_core_lets_events_wait_longer_and_one_seed_is_one_answer():
    assert waits_ms(0.3, 15, seed=1)[1] < waits_ms(0.9, 15, seed=1)[1]
    assert waits_ms(0.5, 15, seed=1) == waits_ms(0.5, 15, seed=1)


def test_an_idle_core_makes_nobody_wait_beyond_its_own_burst():
    p50, p99 = waits_ms(0.001, 10, seed=0)
    assert p50 == pytest.approx(0.11, abs=0.02)
    assert p99 <= 0.21


def test_a_tiny_run_prints_and_writes_everything(tmp_path):
    file = tmp_path / "capacity.json"
    run = subprocess.run(
        [sys.executable, "benchmarks/capacity.py", "--size", "0.05", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    figures = json.loads(file.read_text())
    assert set(figures) == {"costs", "redis", "plans"}
    assert len(figures["plans"]) == 4
    assert figures["costs"]["default"]["memory_bytes"] > 100_000
