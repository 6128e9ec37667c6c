"""Initial weights from a counter: the same numbers for the same seed, whatever was made before them.

Every weight is a hash of (seed, array, row, column), so arrays can grow, and rows of a huge table can be made
when they are first touched, without changing what the others are.
"""
# mypy: allow-untyped-defs

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.compiled import compiled, entry
from hedge_model.kernel.definitions import GOLDEN_RATIO, MIX_1, MIX_2


@compiled
def mix(key):
    """One 64-bit number well mixed (the finaliser of SplitMix64; Steele et al., 2014)."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(MIX_1)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(MIX_2)
    return key ^ (key >> np.uint64(31))


@compiled
def fill_row(out, at, width, key, row, limit):
    """Uniform numbers from -limit to limit, by 24 bits of the hash of (key, row, position)."""
    start = mix(key + np.uint64(row) * np.uint64(GOLDEN_RATIO))
    for j in range(width):
        bits = mix(start + np.uint64(j + 1) * np.uint64(GOLDEN_RATIO)) >> np.uint64(40)
        out[at + j] = limit * (np.float32(bits) * np.float32(2.0**-23) - np.float32(1.0))


@entry
def fill_rows(out, first, stride, width, key, row, rows, limit):
    """Fill `rows` rows of a padded matrix at `first`, the first of which is row number `row` in the hash."""
    for i in range(rows):
        fill_row(out, first + i * stride, width, key, row + i, limit)


def fill_matrix(
    matrix: npt.NDArray[np.float32], width: int, key: np.uint64, limit: np.float32, first_row: int = 0
) -> None:
    """Initial weights for the rows of a padded matrix (contiguous, [rows, padded]) from `first_row` on."""
    rows, stride = matrix.shape
    if rows > first_row:
        flat = matrix.reshape(-1)
        fill_rows(flat, first_row * stride, stride, width, key, first_row, rows - first_row, limit)
