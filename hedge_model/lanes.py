"""A vector of 16 float32 lanes for compiled code: the order of every sum is written down, not chosen by a compiler.

LLVM may reorder or contract floating point only where it is allowed to, and nothing here allows it. One `Lanes`
is one AVX-512 register, two of AVX or four of SSE; the arithmetic of each lane is the same IEEE single precision
everywhere, so the same code gives the same bits on every x86-64.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    models,
    overload,
    register_model,
)
import operator

WIDTH = 16
_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_INTS = ir.VectorType(ir.IntType(32), WIDTH)


class LanesType(types.Type):
    """Numba's type of a vector of 16 float32."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16f32")


lanes_type = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _element(context, builder, array_type, array, index):
    struct = cgutils.create_struct_proxy(array_type)(context, builder, array)
    pointer = builder.gep(struct.data, [index])
    return builder.bitcast(pointer, _FLOATS.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """Lanes of a flat float32 array from `index` on."""
    def generate(context, builder, signature, arguments):
        instruction = builder.load(_element(context, builder, signature.args[0], arguments[0], arguments[1]))
        instruction.align = 4
        return instruction
    return lanes_type(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    def generate(context, builder, signature, arguments):
        instruction = builder.store(arguments[2], _element(context, builder, signature.args[0], arguments[0], arguments[1]))
        instruction.align = 4
        return context.get_dummy_value()
    return types.none(array, types.intp, lanes_type), generate


@intrinsic
def splat(typingctx, number):
    def generate(context, builder, signature, arguments):
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, [0] * WIDTH))
    return lanes_type(types.float32), generate


def _binary(name):
    @intrinsic
    def operation(typingctx, left, right):
        def generate(context, builder, signature, arguments):
            return getattr(builder, name)(*arguments)
        return lanes_type(lanes_type, lanes_type), generate
    return operation

_add, _sub, _mul, _div = (_binary(n) for n in ("fadd", "fsub", "fmul", "fdiv"))

for op, imp in ((operator.add, _add), (operator.sub, _sub), (operator.mul, _mul), (operator.truediv, _div)):
    def register(op, imp):
        @overload(op)
        def _op(a, b):
            if isinstance(a, LanesType) and isinstance(b, LanesType):
                return lambda a, b: imp(a, b)
            return None
    register(op, imp)

@intrinsic
def total(typingctx, value):
    """sum: halves 16→8→4→2→1"""
    def generate(context, builder, signature, arguments):
        v = arguments[0]
        n = WIDTH
        while n > 1:
            n //= 2
            t = ir.VectorType(ir.IntType(32), n)
            und = ir.Constant(v.type, ir.Undefined)
            lo = builder.shuffle_vector(v, und, ir.Constant(t, list(range(n))))
            hi = builder.shuffle_vector(v, und, ir.Constant(t, list(range(n, 2 * n))))
            v = builder.fadd(lo, hi)
        return builder.extract_element(v, ir.Constant(ir.IntType(32), 0))
    return types.float32(lanes_type), generate
