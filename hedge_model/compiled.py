"""How this package compiles: strict IEEE arithmetic, division without exceptions, no reordering.

Compiled functions are typed by numba when they are called, so their modules say `mypy: allow-untyped-defs`.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import intrinsic


def compiled(function: Callable[..., Any]) -> Any:
    """A function called by compiled code only."""
    return numba.njit(fastmath=False, error_model="numpy")(function)


def entry(function: Callable[..., Any]) -> Any:
    """A function called from Python: cached on disk, runs without the interpreter's lock."""
    return numba.njit(fastmath=False, error_model="numpy", cache=True, nogil=True)(function)


def builtin(function: Callable[..., Any]) -> Any:
    """An operation that generates its own instructions."""
    return intrinsic(function)
