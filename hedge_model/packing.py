"""A learner's state as bytes: magic, checksums, a JSON header, then the arrays as they stand in memory.

Little-endian. Of the category table only learned rows are stored; the others follow from the seed.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.checksum import checksum, copied
from hedge_model.spec import ModelSpec
from hedge_model.state import State

MAGIC = b"ODLHEDGE"
FORMAT = 1
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PREFIX = struct.Struct("<8sQQQ")  # magic, checksums of header and of arrays, length of the header


def pack(state: State, kernel_revision: int, categories: Iterable[str], numbers: Iterable[str]) -> bytes:
    """The whole state."""
    learned = state.learned_rows()
    header = {
        "format": FORMAT,
        "kernel": kernel_revision,
        "spec": state.spec.canonical,
        "version": state.version,
        "updates_not_finite": state.updates_not_finite,
        "classes": state.classes,
        "numbers": list(numbers),
        "field_rows": state.field_rows,
        "columns": state.layout.columns,
        "categories": list(categories),
        "learned_rows": int(learned.size),
    }
    text = _json(header).encode("utf-8", "surrogatepass")
    text += b" " * (-(len(text) + _PREFIX.size) % 8)
    arrays: list[npt.NDArray[Any]] = [state.weights, state.memory, state.moments]
    if learned.size:
        arrays += [learned, state.table[learned] if state.layout.hidden_layers else state.table[:0]]
        arrays.append(state.table0[learned])
    prefix = _PREFIX.pack(MAGIC, checksum(text), _together([checksum(array) for array in arrays]), len(text))
    return b"".join([prefix, text, *(array.data for array in arrays)])


def unpack(data: bytes, kernel_revision: int) -> tuple[State, dict[str, Any]]:
    """State and header of `pack`. Raises `ValueError` for damaged or foreign bytes."""
    if len(data) < _PREFIX.size or data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"expected the bytes of a learner, received {len(data)} bytes of something else")
    _, of_header, of_arrays, length = _PREFIX.unpack_from(data)
    at = _PREFIX.size + length
    text = data[_PREFIX.size : at]
    if len(text) != length or checksum(text) != of_header:
        raise ValueError(f"damaged learner: the header in its {len(data)} bytes does not have its checksum")
    header = json.loads(text.decode("utf-8", "surrogatepass"))
    if header["format"] != FORMAT or header["kernel"] != kernel_revision:
        raise ValueError(
            f"expected a learner of format {FORMAT} and kernel {kernel_revision}, received format "
            f"{header['format']} and kernel {header['kernel']}: it was written by another version of odl"
        )
    spec = _spec_of(header["spec"])
    categories = len(header["categories"])
    state = State(spec, header["field_rows"], header["columns"], header["classes"], categories, zeroed=False)
    state.version, state.updates_not_finite = header["version"], header["updates_not_finite"]
    arrays: list[npt.NDArray[Any]] = [state.weights, state.memory, state.moments]
    arrays += _empty_rows(state, header["learned_rows"])
    expected = at + sum(array.nbytes for array in arrays)
    if expected != len(data):
        raise ValueError(f"damaged learner: expected {expected} bytes, received {len(data)}")
    checksums = []
    for array in arrays:
        checksums.append(copied(data, at, array))
        at += array.nbytes
    if _together(checksums) != of_arrays:
        raise ValueError(f"damaged learner: the arrays in its {len(data)} bytes do not have their checksum")
    if len(arrays) > 3:
        state.restore_rows(*arrays[3:])
    return state, header


@lru_cache(maxsize=64)
def _spec_of(canonical: str) -> ModelSpec:
    """Specs never change, so snapshots of one model share theirs."""
    return ModelSpec.from_dict(json.loads(canonical))


def digest(data: bytes) -> str:
    """Hex SHA-256 of packed bytes."""
    return hashlib.sha256(data).hexdigest()


def _together(checksums: list[int]) -> int:
    return checksum(np.array(checksums, np.uint64))


def _empty_rows(state: State, count: int) -> list[npt.NDArray[Any]]:
    """Room for the learned rows of the category table: their numbers, first-layer rows, depth-0 rows."""
    if not count:
        return []
    rows = count if state.layout.hidden_layers else 0
    return [
        np.empty(count, np.int64),
        np.empty((rows, state.table.shape[1]), np.float32),
        np.empty((count, state.table0.shape[1]), np.float32),
    ]
