"""A learner's state as bytes: magic, checksums, a JSON header, then the arrays as they stand in memory.

Little-endian. The header describes the arrays; what changes with every event stands behind it, so that
snapshots of one model have the header in common and it is written and read once. Of the category table only
learned rows are stored; the others follow from the seed.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hedge_model.kernel.checksum import Arrays, checksum, checksum_of_arrays, fill_from
from hedge_model.shape import FIELD_INTS, Shape
from hedge_model.spec import ModelSpec
from hedge_model.state import State

MAGIC = b"ODLHEDGE"
FORMAT = 2
HEADERS_KEPT = 8  # of models that a process works with; one can take megabytes
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PREFIX = struct.Struct("<8sQQQ")  # magic, checksums of header and of arrays, length of the header
_COUNTERS = struct.Struct("<QQQ")  # version, updates that were not finite, learned rows


class Header(NamedTuple):
    """What snapshots of one model have in common. Not to be changed."""

    shape: Shape
    slots: dict[str, int]  # number field -> its slot
    categories: dict[str, None]  # category fields, in their order


def pack(state: State, kernel_revision: int, categories: Iterable[str], numbers: Iterable[str]) -> bytes:
    """The whole state."""
    text, of_text = _header(kernel_revision, state.shape, tuple(numbers), tuple(categories))
    learned = state.learned_rows()
    counters = np.array([state.version, state.updates_not_finite, learned.size], np.uint64)
    arrays: Arrays = (counters, state.weights, state.memory, state.moments)
    if learned.size:
        table = state.table[learned] if state.shape.spec.hidden_layers else state.table[:0]
        arrays += (learned, table, state.table0[learned])
    prefix = _PREFIX.pack(MAGIC, of_text, checksum_of_arrays(arrays), len(text))
    return b"".join([prefix, text, *(array.data for array in arrays)])


def unpack(data: bytes, kernel_revision: int) -> tuple[State, Header]:
    """State and header of `pack`. Raises `ValueError` for damaged or foreign bytes."""
    if len(data) < _PREFIX.size or data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"expected the bytes of a learner, received {len(data)} bytes of something else")
    _, of_text, of_arrays, length = _PREFIX.unpack_from(data)
    at = _PREFIX.size + length
    text = data[_PREFIX.size : at]
    if len(text) != length:
        raise ValueError(f"damaged learner: {len(data)} bytes end before their header of {length} does")
    header = _parsed(text, of_text, kernel_revision)
    state = State(header.shape, zeroed=False)
    counters = np.zeros(3, np.uint64)
    arrays: Arrays = (counters, state.weights, state.memory, state.moments)
    if len(data) >= at + _COUNTERS.size:
        arrays += _empty_rows(state, _COUNTERS.unpack_from(data, at)[2], len(data))
    expected = at + sum(array.nbytes for array in arrays)
    if expected != len(data):
        raise ValueError(f"damaged learner: expected {expected} bytes, received {len(data)}")
    if fill_from(data, at, arrays) != of_arrays:
        raise ValueError(f"damaged learner: the arrays in its {len(data)} bytes do not have their checksum")
    state.version, state.updates_not_finite, _ = counters.tolist()
    if len(arrays) > 4:
        state.restore_rows(*arrays[4:])
    return state, header


@lru_cache(maxsize=HEADERS_KEPT)
def _header(
    kernel_revision: int, shape: Shape, numbers: tuple[str, ...], categories: tuple[str, ...]
) -> tuple[bytes, int]:
    """The header as text, and its checksum."""
    header = {
        "format": FORMAT,
        "kernel": kernel_revision,
        "spec": shape.spec.canonical,
        "classes": shape.classes,
        "numbers": numbers,
        "fields": shape.flat_fields.tolist(),
        "columns": shape.columns,
        "categories": categories,
    }
    text = _json(header).encode("utf-8", "surrogatepass")
    text += b" " * (-(len(text) + _PREFIX.size) % 8)
    return text, checksum(text)


@lru_cache(maxsize=HEADERS_KEPT)
def _parsed(text: bytes, of_text: int, kernel_revision: int) -> Header:
    """The header of a text with this checksum."""
    if checksum(text) != of_text:
        raise ValueError(f"damaged learner: the header of {len(text)} bytes does not have its checksum")
    header = json.loads(text.decode("utf-8", "surrogatepass"))
    if header["format"] != FORMAT or header["kernel"] != kernel_revision:
        raise ValueError(
            f"expected a learner of format {FORMAT} and kernel {kernel_revision}, received format "
            f"{header['format']} and kernel {header['kernel']}: it was written by another version of odl"
        )
    shape = Shape(
        _spec_of(header["spec"]),
        tuple(header["classes"]),
        np.array(header["fields"], np.int64).reshape(-1, FIELD_INTS),
        len(header["categories"]),
        header["columns"],
    )
    slots = {name: slot for slot, name in enumerate(header["numbers"])}
    return Header(shape, slots, dict.fromkeys(header["categories"]))


@lru_cache(maxsize=64)
def _spec_of(canonical: str) -> ModelSpec:
    """Specs never change, so snapshots of one model share theirs."""
    return ModelSpec.from_dict(json.loads(canonical))


def digest(data: bytes) -> str:
    """Hex SHA-256 of packed bytes."""
    return hashlib.sha256(data).hexdigest()


def _empty_rows(state: State, count: int, limit: int) -> Arrays:
    """Room for the learned rows of the category table: their numbers, first-layer rows, depth-0 rows."""
    if not 0 < count <= limit:
        return ()
    rows = count if state.shape.spec.hidden_layers else 0
    return (
        np.empty(count, np.int64),
        np.empty((rows, state.table.shape[1]), np.float32),
        np.empty((count, state.table0.shape[1]), np.float32),
    )
