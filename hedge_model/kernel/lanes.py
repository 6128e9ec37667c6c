"""Vectors of 16 lanes for compiled code: the order of operations is written down, not chosen by a compiler.

LLVM may reorder or contract floating point only where it is allowed to, and nothing here allows it. Sixteen
float32 are one register of AVX-512, two of AVX or four of SSE, but each lane's arithmetic is IEEE single (or
double) precision everywhere, so the same code gives the same bits on every x86-64, at full vector speed.

In compiled code: `a * load(weights, j) + b`, `store(weights, j, value)`, `total(a)`.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

from hedge_model.kernel.compiled import builtin

LANES = 16
_INDEX = ir.IntType(32)
_BITS = ir.VectorType(_INDEX, LANES)


class LanesType(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba's type of 16 numbers of one kind."""

    def __init__(self, element: Any, ir_element: ir.Type) -> None:
        super().__init__(name=f"Lanes({element})")
        self.element = element
        self.vector = ir.VectorType(ir_element, LANES)


floats = LanesType(types.float32, ir.FloatType())
doubles = LanesType(types.float64, ir.DoubleType())
_OF_ELEMENT = {types.float32: floats, types.float64: doubles}


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, kind.vector)


def _define_operators() -> None:
    for symbol, instruction in (
        (operator.add, "fadd"),
        (operator.sub, "fsub"),
        (operator.mul, "fmul"),
        (operator.truediv, "fdiv"),
    ):
        type_callable(symbol)(_operator_type)
        lower_builtin(symbol, LanesType, LanesType)(_operator_code(instruction))


def _operator_type(context: Any) -> Callable[..., Any]:
    def result(left: Any, right: Any) -> Any:
        return left if isinstance(left, LanesType) and left == right else None

    return result


def _operator_code(instruction: str) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)

    return generate


_define_operators()


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    vector = _OF_ELEMENT[array_type.dtype].vector
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@builtin
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """16 numbers of a flat array from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        value.align = array.dtype.bitwidth // 8
        return value

    return _OF_ELEMENT[array.dtype](array, types.intp), generate


@builtin
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write 16 numbers into a flat array from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.none(array, types.intp, value), generate


@builtin
def splat(typing_context: Any, number: Any) -> Any:
    """One number in every lane."""
    lanes = _OF_ELEMENT[number]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(lanes.vector, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], _INDEX(0))
        return builder.shuffle_vector(first, nothing, ir.Constant(_BITS, [0] * LANES))

    return lanes(number), generate


@builtin
def total(typing_context: Any, lanes: Any) -> Any:
    """The sum of the lanes: upper half onto lower half, until one is left."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, count = arguments[0], LANES
        while count > 1:
            count //= 2
            nothing = ir.Constant(value.type, ir.Undefined)
            mask = ir.VectorType(_INDEX, count)
            low = builder.shuffle_vector(value, nothing, mask(list(range(count))))
            high = builder.shuffle_vector(value, nothing, mask(list(range(count, 2 * count))))
            value = builder.fadd(low, high)
        return builder.extract_element(value, _INDEX(0))

    return lanes.element(lanes), generate


@builtin
def totals(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """`total` of each of four, bit for bit, in half the operations: from the first step on, the halves of two
    and then the quarters of four are added at once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def added(left: Any, right: Any, low: list[int], apart: int) -> Any:
            high = [place + apart for place in low]
            return builder.fadd(*(builder.shuffle_vector(left, right, _BITS(half)) for half in (low, high)))

        first, second, third, fourth = arguments
        halves = [k + k // 8 * 8 for k in range(LANES)]
        value = (added(first, second, halves, 8), added(third, fourth, halves, 8))
        four = added(*value, [k + k // 4 * 4 for k in range(LANES)], 4)
        for step in (2, 1):
            four = added(four, four, [k & ~step for k in range(LANES)], step)
        found = [builder.extract_element(four, _INDEX(k)) for k in range(0, LANES, 4)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(a.element, 4)(a, b, c, d), generate


@builtin
def root(typing_context: Any, lanes: Any) -> Any:
    """Square roots, correctly rounded."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.sqrt.v{LANES}f{lanes.element.bitwidth}"
        kind = ir.FunctionType(lanes.vector, [lanes.vector])
        return builder.call(builder.module.declare_intrinsic(name, (), kind), arguments)

    return lanes(lanes), generate


@builtin
def larger(typing_context: Any, left: Any, right: Any) -> Any:
    """`left > right ? left : right`, lane by lane; the right one where a lane is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return left(left, right), generate


@builtin
def smaller(typing_context: Any, left: Any, right: Any) -> Any:
    """`left < right ? left : right`, lane by lane; the right one where a lane is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return left(left, right), generate


@builtin
def where_positive(typing_context: Any, test: Any, value: Any) -> Any:
    """`test > 0 ? value : 0`, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(test.vector, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[1], zero)

    return value(test, value), generate


@builtin
def widen(typing_context: Any, lanes: Any) -> Any:
    """float32 lanes as float64, exactly."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(arguments[0], doubles.vector)

    return doubles(lanes), generate


@builtin
def narrow(typing_context: Any, lanes: Any) -> Any:
    """float64 lanes rounded to float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptrunc(arguments[0], floats.vector)

    return floats(lanes), generate


@builtin
def power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2**n for lanes that hold n + 1.5 · 2**23, n from -126 to 127: n stands in their lowest bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _BITS)
        exponent = builder.add(bits, _BITS([127] * LANES))
        return builder.bitcast(builder.shl(exponent, _BITS([23] * LANES)), floats.vector)

    return floats(shifted), generate


@builtin
def exponent(typing_context: Any, lanes: Any) -> Any:
    """e of positive normal float32 lanes m · 2**e with m from 1 to 2, as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.lshr(builder.bitcast(arguments[0], _BITS), _BITS([23] * LANES))
        return builder.sitofp(builder.sub(bits, _BITS([127] * LANES)), floats.vector)

    return floats(lanes), generate


@builtin
def mantissa(typing_context: Any, lanes: Any) -> Any:
    """m of positive normal float32 lanes m · 2**e with m from 1 to 2."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.and_(builder.bitcast(arguments[0], _BITS), _BITS([0x7FFFFF] * LANES))
        return builder.bitcast(builder.or_(bits, _BITS([0x3F800000] * LANES)), floats.vector)

    return floats(lanes), generate


@builtin
def below(typing_context: Any, left: Any, right: Any) -> Any:
    """A number whose bit k says whether `left < right` in lane k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        mask = builder.bitcast(builder.fcmp_ordered("<", *arguments), ir.IntType(LANES))
        return builder.zext(mask, ir.IntType(64))

    return types.int64(left, right), generate


@builtin
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """The place of the lowest bit that is set, of a number that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@builtin
def pushed(typing_context: Any, lanes: Any, first: Any) -> Any:
    """The lanes moved one place up, `first` in front; the last one falls out."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = ir.Constant(_BITS, [0, *range(LANES - 1)])
        nothing = ir.Constant(lanes.vector, ir.Undefined)
        moved = builder.shuffle_vector(arguments[0], nothing, places)
        return builder.insert_element(moved, arguments[1], _INDEX(0))

    return lanes(lanes, first), generate


@builtin
def where_less(typing_context: Any, left: Any, right: Any, value: Any, other: Any) -> Any:
    """`left < right ? value : other`, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        test = builder.fcmp_ordered("<", *arguments[:2])
        return builder.select(test, *arguments[2:])

    return value(left, right, value, other), generate
