"""The processor's rounding mode, set for the length of one call.

Another library may have switched flush-to-zero on for the whole thread (one built with `-ffast-math` does it
when it is loaded), which changes bits. Compiled entry points set IEEE's mode and put back what they found.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types

from hedge_model.kernel.compiled import builtin

IEEE = 0x1F80  # MXCSR: round to nearest, exceptions masked, denormals kept
FLUSH = 0x9FC0  # the same with flush-to-zero and denormals-are-zero
_X86 = platform.machine() in ("x86_64", "AMD64")


@builtin
def swap_float_mode(typing_context: Any, mode: Any) -> Any:
    """Set MXCSR and return what it was; does nothing on other processors than x86."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _X86:
            return arguments[0]
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer])
        cell = builder.alloca(ir.IntType(32))
        raw = builder.bitcast(cell, pointer)
        builder.call(builder.module.declare_intrinsic("llvm.x86.sse.stmxcsr", (), kind), [raw])
        found = builder.load(cell)
        builder.store(arguments[0], cell)
        builder.call(builder.module.declare_intrinsic("llvm.x86.sse.ldmxcsr", (), kind), [raw])
        return found

    return types.uint32(types.uint32), generate
