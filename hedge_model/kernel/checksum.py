"""A checksum at the speed of memory: a change of any single word changes it. No defence against forgery."""
# mypy: allow-untyped-defs

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hedge_model.kernel.compiled import builtin, compiled, entry
from hedge_model.kernel.initial import mix
from hedge_model.kernel.lanes import LANES, load, store

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

CHAINS = 128  # independent, so that they run in vector lanes
_PRIME = np.uint32(0x9E3779B1)


@builtin
def _stirred(typing_context: Any, chain: Any, words: Any) -> Any:
    """(chain ^ words) * prime, of the 32 bits in each lane: a bijection of the chain."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = ir.VectorType(ir.IntType(32), LANES)
        mixed = builder.xor(*(builder.bitcast(value, bits) for value in arguments))
        return builder.bitcast(builder.mul(mixed, bits([int(_PRIME)] * LANES)), chain.vector)

    return chain(chain, words), generate


@compiled
def _chained(data, target, tail):
    """Eight chains of 16 lanes over an array, copied to `target` on the way if that has room for it; then all
    of them together, a bijection of each again."""
    chains = np.arange(CHAINS).astype(np.uint32)
    start, copying = chains.view(np.float32), target.size >= data.size
    c0, c1, c2, c3 = load(start, 0), load(start, 16), load(start, 32), load(start, 48)
    c4, c5, c6, c7 = load(start, 64), load(start, 80), load(start, 96), load(start, 112)
    whole = data.size // CHAINS * CHAINS
    for i in range(0, whole, CHAINS):
        w0, w1, w2, w3 = load(data, i), load(data, i + 16), load(data, i + 32), load(data, i + 48)
        w4, w5, w6, w7 = load(data, i + 64), load(data, i + 80), load(data, i + 96), load(data, i + 112)
        if copying:
            store(target, i, w0), store(target, i + 16, w1), store(target, i + 32, w2)
            store(target, i + 48, w3), store(target, i + 64, w4), store(target, i + 80, w5)
            store(target, i + 96, w6), store(target, i + 112, w7)
        c0, c1, c2, c3 = _stirred(c0, w0), _stirred(c1, w1), _stirred(c2, w2), _stirred(c3, w3)
        c4, c5, c6, c7 = _stirred(c4, w4), _stirred(c5, w5), _stirred(c6, w6), _stirred(c7, w7)
    store(start, 0, c0), store(start, 16, c1), store(start, 32, c2), store(start, 48, c3)
    store(start, 64, c4), store(start, 80, c5), store(start, 96, c6), store(start, 112, c7)
    rest = data.view(np.uint32)
    for i in range(whole, data.size):
        chains[i - whole] = (chains[i - whole] ^ rest[i]) * _PRIME
    if copying:
        copied = target.view(np.uint32)
        for i in range(whole, data.size):
            copied[i] = rest[i]
    result = mix(np.uint64(data.size) ^ np.uint64(tail))
    for k in range(CHAINS):
        result = mix(result ^ np.uint64(chains[k]))
    return result


@entry
def _of_bytes(data, tail):
    return _chained(data, np.empty(0, np.float32), tail)


@entry
def _of_arrays(arrays):
    result = np.uint64(0)
    for array in arrays:
        result = mix(result ^ _chained(array, array[:0], np.uint64(0)))
    return result


@entry
def _of_copied(data, arrays):
    result, at = np.uint64(0), 0
    for array in arrays:
        result = mix(result ^ _chained(data[at : at + array.size], array, np.uint64(0)))
        at += array.size
    return result


def checksum(data: bytes) -> int:
    """A number from 0 to 2**64 - 1 for these bytes.

    >>> checksum(b"12345678") == checksum(b"12345678"), checksum(b"12345678") == checksum(b"12345679")
    (True, False)
    """
    whole = len(data) // 4 * 4
    tail = int.from_bytes(data[whole:], "little") << 2 | len(data) % 4
    return int(_of_bytes(np.frombuffer(data, np.float32, whole // 4), np.uint64(tail << 32)))


def checksum_of_arrays(arrays: Arrays) -> int:
    """A number from 0 to 2**64 - 1 for these arrays of whole 32-bit words, one after the other."""
    return int(_of_arrays(_flat(arrays)))


def fill_from(data: bytes, at: int, arrays: Arrays) -> int:
    """Fill the arrays one after the other with the bytes from `at` on; their `checksum_of_arrays`."""
    return int(_of_copied(np.frombuffer(data, np.float32, (len(data) - at) // 4, at), _flat(arrays)))


def _flat(arrays: Arrays) -> Arrays:
    return tuple(
        array if array.ndim == 1 and array.dtype == np.float32 else array.reshape(-1).view(np.float32)
        for array in arrays
    )
