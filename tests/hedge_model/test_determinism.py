"""One stream, one digest: whatever code is generated, however events arrive, whoever set flush-to-zero."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.golden import GOLDEN, MachineDiffers, assert_golden, golden_digest
from hedge_model.kernel.float_mode import FLUSH, swap_float_mode

SPECS = [
    ModelSpec(hidden_layers=3, width=24),
    ModelSpec(hidden_layers=3, width=24, preset="paper"),
    ModelSpec(hidden_layers=0),
]


LONG = ModelSpec(hidden_layers=2, width=16, window=250)
BOTH_DIGESTS = """
import sys
sys.path.insert(0, sys.argv[1])
from hedge_model.golden import golden_digest
from test_determinism import long_digest
print(golden_digest(), long_digest())
"""


def _stream(count: int = 400) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Numbers of several scales, gaps that begin late, classes that appear one after the other."""
    random = np.random.default_rng(11)
    X = (random.standard_normal((count, 12)) * np.geomspace(1e-6, 1e6, 12)).astype(np.float32)
    X[random.random(X.shape) < 0.03] = np.nan
    X[:50] = np.nan_to_num(X[:50])
    X[:80, 11] = np.nan  # a field that appears late
    y = (np.nan_to_num(X[:, 3]) > 0) * 1 + np.arange(count) // 150 % 6
    return X, y.astype(np.int64)


def _events(X: npt.NDArray[np.float32]) -> list[dict[str, float | None]]:
    return [{str(j): None if value != value else value for j, value in enumerate(row)} for row in X.tolist()]


@pytest.fixture(params=SPECS, ids=lambda spec: f"{spec.preset}-{spec.hidden_layers}")
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    made: ModelSpec = request.param
    return made


def _folded(spec: ModelSpec) -> str:
    X, y = _stream()
    learner = HedgeLearner(spec)
    learner.learn_many(X, y)
    return learner.digest()


def long_digest() -> str:
    """Of 20,000 events at once; small, so that it takes a second."""
    learner = HedgeLearner(LONG)
    learner.learn_many(*_stream(20_000))
    return learner.digest()


def test_20_000_events_have_one_digest_however_they_come() -> None:
    X, y = _stream(20_000)
    expected = long_digest()
    one = HedgeLearner(LONG)
    for x, label in zip(_events(X), y.tolist(), strict=True):
        one.learn_one(x, label)
    assert one.digest() == expected
    first = HedgeLearner(LONG)
    first.learn_many(X[:10_000], y[:10_000])
    second = HedgeLearner.from_bytes(first.to_bytes())
    second.learn_many(X[10_000:], y[10_000:])
    assert second.digest() == expected
    before = _swap(FLUSH)
    try:
        assert long_digest() == expected
    finally:
        _swap(before)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(long_digest())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_one_by_one_and_many_at_once_are_the_same_fold(spec: ModelSpec) -> None:
    X, y = _stream()
    one, many = HedgeLearner(spec), HedgeLearner(spec)
    predicted = many.prequential_many(X, y)
    for row, (x, label) in enumerate(zip(_events(X), y.tolist(), strict=True)):
        before = one.prequential_one(x, label)
        assert isinstance(before, dict)
        assert predicted[row, : len(before)].tolist() == [np.float32(p) for p in before.values()]
        assert (predicted[row, len(before) :] == 0).all()
    assert one.digest() == many.digest() == _folded(spec)


def test_predicting_many_is_predicting_each(spec: ModelSpec) -> None:
    X, y = _stream()
    learner = HedgeLearner(spec)
    learner.learn_many(X, y)
    before = learner.digest()
    predicted = learner.predict_proba_many(X[:40])
    for row, x in enumerate(_events(X[:40])):
        assert predicted[row].tolist() == [np.float32(p) for p in learner.predict_proba_one(x).values()]
    assert learner.digest() == before


@pytest.mark.parametrize("cut", [0, 1, 79, 81, 200, 399])
def test_a_snapshot_anywhere_goes_on_to_the_same_digest(spec: ModelSpec, cut: int) -> None:
    X, y = _stream()
    first = HedgeLearner(spec)
    first.learn_many(X[:cut], y[:cut])
    second = HedgeLearner.from_bytes(first.to_bytes())
    second.learn_many(X[cut:], y[cut:])
    assert second.digest() == _folded(spec)


def test_threads_do_not_disturb_each_other(spec: ModelSpec) -> None:
    expected, found = _folded(spec), []
    threads = [threading.Thread(target=lambda: found.append(_folded(spec))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


@numba.njit
def _swap(mode: int) -> int:
    found: int = swap_float_mode(np.uint32(mode))
    return found


def test_flush_to_zero_of_another_library_changes_nothing() -> None:
    expected = golden_digest()
    before = _swap(FLUSH)
    try:
        found = golden_digest()
        still = _swap(FLUSH)
    finally:
        _swap(before)
    assert found == expected
    assert still & 0x8040 == FLUSH & 0x8040  # the other library finds its mode as it left it


@pytest.mark.parametrize(
    ("level", "feature"),
    [("x86-64", "sse2"), ("x86-64-v2", "sse4_2"), ("x86-64-v3", "avx2"), ("x86-64-v4", "avx512vl")],
)
def test_code_for_every_level_of_x86_gives_the_golden_digest(
    level: str, feature: str, request: pytest.FixtureRequest
) -> None:
    processor = Path("/proc/cpuinfo")
    if not processor.exists() or f" {feature} " not in processor.read_text():
        return  # code for this level cannot run here
    directory = request.config.cache.mkdir(f"compiled-{level}")  # compiled once, kept between runs
    target = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(directory)}
    command = [sys.executable, "-c", BOTH_DIGESTS, str(Path(__file__).parent)]
    run = subprocess.run(command, env={**os.environ, **target}, capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == [GOLDEN, long_digest()], run.stderr


def test_this_machine_computes_the_golden_fold() -> None:
    assert_golden()


def test_a_machine_that_differs_is_refused() -> None:
    with pytest.raises(MachineDiffers, match="the golden fold gives .* instead of ffff"):
        assert_golden("f" * 64)
