"""The drift benchmark counts what it says it counts."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from odl.drift import ERROR, Drift, Series


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "drift.py"
    spec = importlib.util.spec_from_file_location("drift_benchmark", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(version: int, field: str, series: Series) -> Drift:
    return Drift(version=version, field=field, series=series, detector="adwin", before=0.1, after=0.5)


def test_the_first_report_after_the_drift_is_its_delay_and_early_ones_are_false(
    benchmark: ModuleType,
) -> None:
    found = benchmark.Found([], 0, 0, 100_000)
    early, first = report(400, "f0", "value"), report(620, "f0", "value")
    elsewhere, caused = report(700, "f3", "value"), report(710, ERROR, "error")
    benchmark.score(found, "value moves", [early, first, elsewhere, caused], 500)
    assert (found.delays, found.missed, found.false_alarms) == ([120], 0, 2)
    assert found.per_100k() == 2.0


def test_a_drift_without_a_report_is_missed(benchmark: ModuleType) -> None:
    found = benchmark.Found([], 0, 0, 1)
    benchmark.score(found, "goes missing", [report(600, "f0", "value")], 500)
    assert (found.delays, found.missed, found.false_alarms) == ([], 1, 1)


@pytest.mark.parametrize("kind", ["value moves", "value widens", "categories swap", "goes missing"])
def test_streams_are_alike_until_the_drift_and_differ_after_it(benchmark: ModuleType, kind: str) -> None:
    drifting = list(benchmark.stream(kind, 1, 200, 400))
    steady = list(benchmark.stream(kind, 1, None, 400))
    assert drifting[:200] == steady[:200] and drifting[200:] != steady[200:]
