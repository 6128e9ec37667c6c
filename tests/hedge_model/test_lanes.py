"""Compiled vectors compute what NumPy computes, lane by lane."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from hedge_model.kernel.elementary import exp, log
from hedge_model.kernel.float_mode import FLUSH, IEEE, swap_float_mode
from hedge_model.kernel.lanes import larger, load, root, smaller, splat, store, total, totals, where_positive


@numba.njit
def _apply_exp(a: Any) -> None:
    for j in range(0, a.size, 16):
        store(a, j, exp(load(a, j)))


@numba.njit
def _apply_log(a: Any) -> None:
    for j in range(0, a.size, 16):
        store(a, j, log(load(a, j)))


@numba.njit
def _arithmetic(a: Any, b: Any, out: Any) -> Any:
    x, y = load(a, 0), load(b, 0)
    store(out, 0, (x * y + splat(np.float32(0.5))) / root(larger(y, x)) - smaller(x, y))
    store(out, 16, where_positive(x, y))
    return total(x)


@numba.njit
def _four_totals(a: Any, each: Any) -> Any:
    for k in range(4):
        each[k] = total(load(a, 16 * k))
    return totals(load(a, 0), load(a, 16), load(a, 32), load(a, 48))


@numba.njit
def _swap(mode: Any) -> Any:
    return swap_float_mode(np.uint32(mode))


@numba.njit
def _halve(a: Any) -> None:
    store(a, 0, load(a, 0) * splat(np.float32(0.5)))


def _lanes(seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(16).astype(np.float32)


def test_operations_are_those_of_numpy_bit_for_bit() -> None:
    a, b, out = _lanes(1), np.abs(_lanes(2)), np.zeros(32, np.float32)
    summed = _arithmetic(a, b, out)
    expected = (a * b + np.float32(0.5)) / np.sqrt(np.maximum(a, b)) - np.minimum(a, b)
    assert (out[:16] == expected).all()
    assert (out[16:] == np.where(a > 0, b, 0)).all()
    halves = a.copy()
    while halves.size > 1:
        halves = halves[: halves.size // 2] + halves[halves.size // 2 :]
    assert summed == halves[0]


def test_four_totals_at_once_have_the_bits_of_one_by_one() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        a, each = (10.0 ** random.uniform(-8, 8, 64)).astype(np.float32), np.zeros(4, np.float32)
        a *= random.choice(np.array([-1, 0, 1], np.float32), 64)
        assert np.array(_four_totals(a, each), np.float32).tobytes() == each.tobytes()


def test_exp_agrees_to_a_few_units_in_the_last_place() -> None:
    x = np.linspace(-87, 88, 16_000).astype(np.float32)
    found = x.copy()
    _apply_exp(found)
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1).max() < 2.5e-7


def test_exp_of_anything_lower_stays_a_normal_number() -> None:
    x = np.full(16, -1e30, np.float32)
    _apply_exp(x)
    assert (x > np.finfo(np.float32).tiny).all()
    assert (x < 2e-38).all()


def test_log_agrees_to_a_few_units_in_the_last_place() -> None:
    x = np.geomspace(1e-37, 1e37, 16_000).astype(np.float32)
    found = x.copy()
    _apply_log(found)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(found - exact) < 1.5e-7 * np.maximum(np.abs(exact), 1.0)).all()


def test_the_float_mode_is_set_and_put_back() -> None:
    tiny = np.full(16, np.finfo(np.float32).tiny, np.float32)
    before = _swap(FLUSH)
    try:
        _halve(tiny)
    finally:
        _swap(before)
    assert (tiny == 0).all()
    assert _swap(IEEE) & 0x8040 == before & 0x8040
    _swap(before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_comparisons_with_nan_take_the_second(value: float) -> None:
    a, b, out = np.full(16, value, np.float32), np.ones(16, np.float32), np.zeros(32, np.float32)
    _arithmetic(b, a, out)
    assert np.isnan(out[:16]).all() or value == np.inf
