"""A checksum at the speed of memory: a change of any single word changes it. No defence against forgery."""
# mypy: allow-untyped-defs

from typing import Any

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.compiled import compiled, entry
from hedge_model.kernel.initial import mix

CHAINS = 128  # independent, so that they run in vector lanes
_PRIME = np.uint32(0x9E3779B1)


@compiled
def _together(chains, size, tail):
    result = mix(np.uint64(size) ^ np.uint64(tail))
    for k in range(CHAINS):
        result = mix(result ^ np.uint64(chains[k]))
    return result


@entry
def _words(data, tail):
    """Chains over 32-bit words; each step is a bijection of its chain, as is taking the chains together."""
    chains = np.arange(CHAINS).astype(np.uint32)
    whole = data.size // CHAINS * CHAINS
    for i in range(0, whole, CHAINS):
        for k in range(CHAINS):
            chains[k] = (chains[k] ^ data[i + k]) * _PRIME
    for i in range(whole, data.size):
        chains[i - whole] = (chains[i - whole] ^ data[i]) * _PRIME
    return _together(chains, data.size, tail)


@entry
def _words_copied(data, target, tail):
    """`_words` of what is copied on the way."""
    chains = np.arange(CHAINS).astype(np.uint32)
    whole = data.size // CHAINS * CHAINS
    for i in range(0, whole, CHAINS):
        for k in range(CHAINS):
            word = data[i + k]
            target[i + k] = word
            chains[k] = (chains[k] ^ word) * _PRIME
    for i in range(whole, data.size):
        target[i] = data[i]
        chains[i - whole] = (chains[i - whole] ^ data[i]) * _PRIME
    return _together(chains, data.size, tail)


def copied(data: bytes, at: int, target: npt.NDArray[Any]) -> int:
    """Fill an array of whole 32-bit words from `at` on; the `checksum` of it."""
    words = target.reshape(-1).view(np.uint32)
    return int(_words_copied(np.frombuffer(data, np.uint32, words.size, at), words, np.uint64(0)))


def checksum(data: bytes | memoryview | npt.NDArray[Any]) -> int:
    """A number from 0 to 2**64 - 1 for these bytes, or those of an array of whole 32-bit words.

    >>> checksum(b"12345678") == checksum(b"12345678"), checksum(b"12345678") == checksum(b"12345679")
    (True, False)
    """
    if isinstance(data, np.ndarray):
        return int(_words(data.reshape(-1).view(np.uint32), np.uint64(0)))
    raw = np.frombuffer(data, np.uint8)
    whole = raw.size // 4 * 4
    tail = int.from_bytes(raw[whole:].tobytes(), "little") << 2 | raw.size % 4
    return int(_words(raw[:whole].view(np.uint32), np.uint64(tail << 32)))
