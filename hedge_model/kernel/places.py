"""Lists of the places in an array whose number is above zero, or is not zero, in ascending order.

Found sixteen lanes at a time, without a branch that a processor would have to guess: a table has the places
of the bits of every byte. A list needs room for all places of the array in whole vectors.
"""
# mypy: allow-untyped-defs

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from hedge_model.kernel.compiled import builtin, compiled
from hedge_model.kernel.lanes import LANES, load

_BYTE = 8  # bits, and places stored at once
_LONG = ir.IntType(64)
_PLACES = [
    sum(place << _BYTE * k for k, place in enumerate(p for p in range(_BYTE) if byte >> p & 1))
    for byte in range(2**_BYTE)
]  # of each byte its set bits' places, one place a byte, the lowest first


@builtin
def above_zero(typing_context: Any, lanes: Any) -> Any:
    """A number whose bit k says whether lane k is above zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _mask(builder, builder.fcmp_ordered(">", arguments[0], _zeros(lanes)))

    return types.int64(lanes), generate


@builtin
def not_zero(typing_context: Any, lanes: Any) -> Any:
    """A number whose bit k says whether lane k is not zero (NaN is not)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _mask(builder, builder.fcmp_unordered("!=", arguments[0], _zeros(lanes)))

    return types.int64(lanes), generate


def _zeros(lanes: Any) -> Any:
    return ir.Constant(lanes.vector, [0.0] * LANES)


def _mask(builder: Any, test: Any) -> Any:
    return builder.zext(builder.bitcast(test, ir.IntType(LANES)), _LONG)


@builtin
def bits_set(typing_context: Any, mask: Any) -> Any:
    """How many bits of a number are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


@builtin
def write_places(typing_context: Any, lists: Any, at: Any, first: Any, byte: Any) -> Any:
    """Write `first` + the places of the set bits of a byte from `lists[at]` on; always writes 8 numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, first, byte = arguments
        table = ir.ArrayType(_LONG, len(_PLACES))
        held = cgutils.global_constant(builder.module, "places_of_byte", table(_PLACES))
        packed = builder.load(builder.gep(held, [_LONG(0), byte]))
        many = ir.VectorType(_LONG, _BYTE)
        places = builder.zext(builder.bitcast(packed, ir.VectorType(ir.IntType(8), _BYTE)), many)
        nothing = ir.Constant(many, ir.Undefined)
        index = ir.VectorType(ir.IntType(32), _BYTE)
        start = builder.insert_element(nothing, first, ir.IntType(32)(0))
        start = builder.shuffle_vector(start, nothing, index([0] * _BYTE))
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, array).data
        target = builder.bitcast(builder.gep(data, [at]), many.as_pointer())
        builder.store(builder.add(places, start), target).align = 8
        return context.get_dummy_value()

    return types.none(lists, types.intp, types.int64, types.int64), generate


@compiled
def list_mask(lists, at, first, mask):
    """Write `first` + the places of the bits of 16 lanes' mask; where the list goes on."""
    low, high = mask & np.int64(255), mask >> np.int64(8)
    write_places(lists, at, first, low)
    at += bits_set(low)
    write_places(lists, at, first + 8, high)
    return at + bits_set(high)


@compiled
def list_not_zero(lists, at, work, values, length):
    """List where `length` numbers (a multiple of 16) from work[values] on are not zero; how many."""
    end = at
    for j in range(0, length, LANES):
        end = list_mask(lists, end, j, not_zero(load(work, values + j)))
    return end - at
