"""Sums over rows of padded matrices, in one order: row after row, lane by lane.

A matrix stands in a flat array from `first` on, its rows `units` long (a multiple of 16). Only the rows that
`lists[at : at + count]` names are touched. Four rows at a time save loads; the order of additions is that of
one row at a time. What is done for every layer knows one length of rows beforehand, that of the default
width: a compiler unrolls it, which takes a tenth off a step.
"""
# mypy: allow-untyped-defs

from collections.abc import Callable
from typing import Any

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.lanes import LANES, load, splat, store, total, totals
from hedge_model.layout import padded
from hedge_model.spec import ModelSpec

ZERO = np.float32(0.0)
KNOWN_UNITS = padded(ModelSpec.width)  # of the default width


def over_rows(function: Callable[..., Any]) -> Any:
    """A compiled function whose third argument is the length of rows, made for any and for `KNOWN_UNITS`."""
    of_rows = compiled(function)

    @compiled
    def chosen(matrix, first, units, lists, at, count, work, values, others):
        if units == KNOWN_UNITS:
            of_rows(matrix, first, KNOWN_UNITS, lists, at, count, work, values, others)
        else:
            of_rows(matrix, first, units, lists, at, count, work, values, others)

    return chosen


@over_rows
def add_rows(matrix, first, units, lists, at, count, work, factors, out):
    """work[out:] += Σ work[factors + row] · matrix[row]."""
    k = 0
    while k + 4 <= count:
        i0, i1, i2, i3 = lists[at + k], lists[at + k + 1], lists[at + k + 2], lists[at + k + 3]
        f0, f1 = splat(work[factors + i0]), splat(work[factors + i1])
        f2, f3 = splat(work[factors + i2]), splat(work[factors + i3])
        r0, r1, r2, r3 = first + i0 * units, first + i1 * units, first + i2 * units, first + i3 * units
        for j in range(0, units, LANES):
            s = load(work, out + j) + f0 * load(matrix, r0 + j)
            s = s + f1 * load(matrix, r1 + j)
            s = s + f2 * load(matrix, r2 + j)
            store(work, out + j, s + f3 * load(matrix, r3 + j))
        k += 4
    while k < count:
        i0 = lists[at + k]
        f0, r0 = splat(work[factors + i0]), first + i0 * units
        for j in range(0, units, LANES):
            store(work, out + j, load(work, out + j) + f0 * load(matrix, r0 + j))
        k += 1


@over_rows
def dot_rows(matrix, first, units, lists, at, count, work, vector, out):
    """work[out + row] = matrix[row] · work[vector:]."""
    k = 0
    while k + 4 <= count:
        i0, i1, i2, i3 = lists[at + k], lists[at + k + 1], lists[at + k + 2], lists[at + k + 3]
        r0, r1, r2, r3 = first + i0 * units, first + i1 * units, first + i2 * units, first + i3 * units
        s0 = s1 = s2 = s3 = splat(ZERO)
        for j in range(0, units, LANES):
            v = load(work, vector + j)
            s0 = s0 + v * load(matrix, r0 + j)
            s1 = s1 + v * load(matrix, r1 + j)
            s2 = s2 + v * load(matrix, r2 + j)
            s3 = s3 + v * load(matrix, r3 + j)
        work[out + i0], work[out + i1], work[out + i2], work[out + i3] = totals(s0, s1, s2, s3)
        k += 4
    while k < count:
        i0 = lists[at + k]
        work[out + i0] = dot(matrix, first + i0 * units, work, vector, units)
        k += 1


@over_rows
def subtract_outer(matrix, first, units, lists, at, count, work, factors, step):
    """matrix[row] -= work[factors + row] · work[step:]."""
    k = 0
    while k + 4 <= count:
        i0, i1, i2, i3 = lists[at + k], lists[at + k + 1], lists[at + k + 2], lists[at + k + 3]
        f0, f1 = splat(work[factors + i0]), splat(work[factors + i1])
        f2, f3 = splat(work[factors + i2]), splat(work[factors + i3])
        r0, r1, r2, r3 = first + i0 * units, first + i1 * units, first + i2 * units, first + i3 * units
        for j in range(0, units, LANES):
            v = load(work, step + j)
            store(matrix, r0 + j, load(matrix, r0 + j) - f0 * v)
            store(matrix, r1 + j, load(matrix, r1 + j) - f1 * v)
            store(matrix, r2 + j, load(matrix, r2 + j) - f2 * v)
            store(matrix, r3 + j, load(matrix, r3 + j) - f3 * v)
        k += 4
    while k < count:
        i0 = lists[at + k]
        add_scaled(matrix, first + i0 * units, -work[factors + i0], work, step, units)
        k += 1


@compiled
def dot(a, at_a, b, at_b, length):
    """Σ a·b over `length` numbers, a multiple of 16, as 16 partial sums."""
    s = splat(ZERO)
    for j in range(0, length, LANES):
        s = s + load(a, at_a + j) * load(b, at_b + j)
    return total(s)


@compiled
def add_scaled(out, at_out, factor, a, at_a, length):
    """out += factor · a over `length` numbers, a multiple of 16."""
    f = splat(factor)
    for j in range(0, length, LANES):
        store(out, at_out + j, load(out, at_out + j) + f * load(a, at_a + j))


@compiled
def fill(out, at, value, length):
    """out = value over `length` numbers, a multiple of 16."""
    v = splat(value)
    for j in range(0, length, LANES):
        store(out, at + j, v)


@compiled
def copy(out, at_out, a, at_a, length):
    """out = a over `length` numbers, a multiple of 16."""
    for j in range(0, length, LANES):
        store(out, at_out + j, load(a, at_a + j))
