"""A learner's state as bytes: magic, checksum, a JSON header, then the arrays as they stand in memory.

Little-endian. Of the category table only learned rows are stored; the others follow from the seed.
"""

import hashlib
import json
import struct
from typing import Any

import numpy as np

from hedge_model.kernel.checksum import checksum
from hedge_model.spec import ModelSpec
from hedge_model.state import State

MAGIC = b"ODLHEDGE"
FORMAT = 1
_PREFIX = struct.Struct("<8sQI")  # magic, checksum of the rest, length of the header


def pack(state: State, kernel_revision: int, categories: list[str], numbers: list[str]) -> bytes:
    """The whole state."""
    learned = state.learned_rows()
    header = {
        "format": FORMAT,
        "kernel": kernel_revision,
        "spec": state.spec.to_dict(),
        "version": state.version,
        "updates_not_finite": state.updates_not_finite,
        "classes": state.classes,
        "numbers": numbers,
        "field_rows": state.field_rows,
        "columns": state.layout.columns,
        "categories": categories,
        "learned_rows": int(learned.size),
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    text += b" " * (-(len(text) + _PREFIX.size) % 8)
    arrays = [state.weights, state.moments]
    if learned.size:
        arrays += [learned, state.table[learned] if state.layout.hidden_layers else state.table[:0]]
        arrays += [state.table0[learned]]
    body = b"".join(
        [bytes(_PREFIX.size), text, *(np.ascontiguousarray(a).view(np.uint8).data for a in arrays)]
    )
    view = memoryview(body)
    prefix = _PREFIX.pack(MAGIC, checksum(view[_PREFIX.size :]), len(text))
    return b"".join([prefix, view[_PREFIX.size :]])


def unpack(data: bytes, kernel_revision: int) -> tuple[State, dict[str, Any]]:
    """State and header of `pack`. Raises `ValueError` for damaged or foreign bytes."""
    if len(data) < _PREFIX.size or data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"expected the bytes of a learner, received {len(data)} bytes of something else")
    _, expected, length = _PREFIX.unpack_from(data)
    view = memoryview(data)
    if checksum(view[_PREFIX.size :]) != expected:
        raise ValueError(f"damaged learner: {len(data)} bytes do not have the checksum written into them")
    header = json.loads(bytes(view[_PREFIX.size : _PREFIX.size + length]).decode("utf-8", "surrogatepass"))
    if header["format"] != FORMAT or header["kernel"] != kernel_revision:
        raise ValueError(
            f"expected a learner of format {FORMAT} and kernel {kernel_revision}, received format "
            f"{header['format']} and kernel {header['kernel']}: it was written by another version of odl"
        )
    state = _empty_state(header)
    at = _PREFIX.size + length
    for array in (state.weights, state.moments):
        at = _read(view, at, array)
    if header["learned_rows"]:
        at = _read_table(view, at, state, header["learned_rows"])
    if at != len(data):
        raise ValueError(f"damaged learner: expected {at} bytes, received {len(data)}")
    state.fresh[:] = state.moments
    return state, header


def _empty_state(header: dict[str, Any]) -> State:
    state = State(ModelSpec.from_dict(header["spec"]))
    state.restore_shape(header["field_rows"], header["columns"], header["classes"])
    state.version = header["version"]
    state.updates_not_finite = header["updates_not_finite"]
    return state


def _read(view: memoryview, at: int, array: np.ndarray[Any, Any]) -> int:
    end = at + array.nbytes
    if end > len(view):
        raise ValueError(f"damaged learner: expected at least {end} bytes, received {len(view)}")
    array.reshape(-1)[:] = np.frombuffer(view[at:end], array.dtype)
    return end


def _read_table(view: memoryview, at: int, state: State, count: int) -> int:
    state.open_table()
    rows = np.zeros(count, np.int64)
    at = _read(view, at, rows)
    for table in (state.table if state.layout.hidden_layers else state.table[:0], state.table0):
        part = np.zeros((count if len(table) else 0, table.shape[1]), np.float32)
        at = _read(view, at, part)
        if len(part):
            table[rows] = part
    state.touched[rows] = 2
    return at


def digest(data: bytes) -> str:
    """Hex SHA-256 of packed bytes."""
    return hashlib.sha256(data).hexdigest()
