"""Lists of places: what NumPy finds, whatever the numbers."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from hedge_model.kernel.lanes import load
from hedge_model.kernel.places import above_zero, list_mask, list_not_zero


@numba.njit
def _not_zero(values: Any, lists: Any) -> Any:
    return list_not_zero(lists, 0, values, 0, values.size)


@numba.njit
def _above_zero(values: Any, lists: Any) -> Any:
    return list_mask(lists, 0, 0, above_zero(load(values, 0)))


def _values(seed: int, length: int, share: float) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.standard_normal(length).astype(np.float32)
    values[random.random(length) < share] = 0.0
    return values


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("length", [16, 112, 480])
def test_places_that_are_not_zero_are_listed_in_order(length: int, share: float) -> None:
    values, lists = _values(length, length, share), np.full(length + 1, -7, np.int64)
    count = _not_zero(values, lists)
    assert lists[:count].tolist() == np.flatnonzero(values).tolist()
    assert lists[-1] == -7  # a list never needs more room than there are lanes


def test_every_pattern_of_a_byte_is_listed() -> None:
    lists = np.zeros(16, np.int64)
    for byte in range(256):
        bits = np.array([byte >> k & 1 for k in range(8)], np.float32)
        values = np.concatenate([bits, -bits]) + np.concatenate([np.zeros(8), bits[::-1] * 2]).astype("f4")
        count = _above_zero(values, lists)
        assert lists[:count].tolist() == np.flatnonzero(values > 0).tolist()


def test_what_is_not_a_number_is_neither_zero_nor_above_it() -> None:
    values, lists = np.zeros(16, np.float32), np.zeros(16, np.int64)
    values[3], values[5], values[9] = np.nan, -0.0, np.inf
    assert lists[: _not_zero(values, lists)].tolist() == [3, 9]
    assert lists[: _above_zero(values, lists)].tolist() == [9]
