"""A prediction request: rows of named features, out of any of Seldon's forms."""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET

from odl.errors import InvalidEvent
from odl.event import Features, Value
from seldon.message import Data, SeldonMessage, Tensor, malformed
from seldon.puid import check_puid

ROWS_MAX = 1_000  # 50 ms of predictions with 20 layers of 100 units: nobody waits longer behind one request
VERSION_MAX = 2**53  # a version fits a double


class Form(Enum):
    """How the rows were sent, which is how they are answered."""

    NDARRAY = "ndarray"
    TENSOR = "tensor"
    JSON = "jsonData"
    STRING = "strData"


class Request(msgspec.Struct, frozen=True):
    """What a client asks to be predicted."""

    rows: list[Features]  # at least one
    form: Form
    single: bool  # jsonData or strData held one object, not a list of one
    puid: str  # the client's own prediction id, empty if it sent none
    min_version: int  # the answer must have learned this version, 0: any


def read_request(message: SeldonMessage, names: Sequence[str] = ()) -> Request:
    """The request of a message. `names` is the order of columns that the model declares, for data
    without names. Raises `InvalidEvent`."""
    check_puid(message.meta.puid)
    single, form = False, the_form(message)
    if form is Form.JSON:
        rows, single = _objects(message.jsonData)
    elif form is Form.STRING:
        rows, single = _objects(_parse(message.strData))
    else:
        assert isinstance(message.data, Data)
        rows = _named(_table(message.data), message.data.names or names)
    if not rows or not all(rows):
        raise InvalidEvent("expected at least one row of at least one feature, received none", reason="EMPTY")
    if len(rows) > ROWS_MAX:
        raise InvalidEvent(f"expected at most {ROWS_MAX} rows, received {len(rows)}", reason="TOO_MANY")
    min_version = read_version(message.meta.tags, "min_version")
    return Request(rows=rows, form=form, single=single, puid=message.meta.puid, min_version=min_version)


def the_form(message: SeldonMessage) -> Form:
    """Which of Seldon's forms a message uses. Raises `InvalidEvent` for none or several."""
    data = message.data
    if not isinstance(data, Data) or not message.jsonData is message.strData is UNSET:
        sent = [name for name in ("data", "jsonData", "strData") if getattr(message, name) is not UNSET]
        if len(sent) != 1:
            received = " and ".join(sent) or "none"
            raise malformed(f"expected exactly one of data, jsonData and strData, received {received}")
        return Form(sent[0])
    if (data.tensor is UNSET) == (data.ndarray is UNSET):
        raise malformed("expected exactly one of data.ndarray and data.tensor")
    return Form.NDARRAY if data.tensor is UNSET else Form.TENSOR


def read_version(tags: dict[str, Any], name: str, where: str = "meta.tags") -> int:
    """The version `name` of `tags`, 0 if it is absent. Seldon's protobuf makes every number a float."""
    value = tags.get(name, 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= VERSION_MAX:
        raise malformed(f"expected a whole number from 0 in {where}.{name}")
    return value


def reshape(tensor: Tensor) -> list[list[float]]:
    """The rows of a tensor of two dimensions; its values must fill its shape exactly."""
    shape, values = tensor.shape, tensor.values
    if len(shape) != 2 or min(shape) < 0:
        raise InvalidEvent(
            f"expected data.tensor of shape [rows, features], received {_short(shape)}", reason="BAD_SHAPE"
        )
    if math.prod(shape) != len(values):
        raise InvalidEvent(
            f"expected {math.prod(shape)} values in data.tensor of shape {shape}, received {len(values)}",
            reason="BAD_SHAPE",
        )
    width = shape[1]
    return [values[start : start + width] for start in range(0, len(values), max(width, 1))]


def _table(data: Data) -> Sequence[Sequence[Value]]:
    if isinstance(data.tensor, Tensor):
        return reshape(data.tensor)
    assert isinstance(data.ndarray, list)
    rows = [row for row in data.ndarray if isinstance(row, list)]
    if len(rows) != len(data.ndarray):
        raise InvalidEvent(
            "expected data.ndarray to be a list of rows, each a list of values, received a bare value",
            reason="BAD_SHAPE",
        )
    return rows


def _named(table: Sequence[Sequence[Value]], names: Sequence[str]) -> list[Features]:
    if not names:
        raise InvalidEvent(
            "expected data.names, since this model declares no order of its features; or send jsonData",
            reason="NO_NAMES",
        )
    width = len(names)
    for number, row in enumerate(table):
        if len(row) != width:
            raise InvalidEvent(
                f"expected {width} values in row {number} (one for each name), received {len(row)}",
                reason="BAD_SHAPE",
            )
    rows = [dict(zip(names, row, strict=True)) for row in table]
    if rows and len(rows[0]) != width:
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InvalidEvent(
            f"expected each name once in data.names, received '{twice:.200}' again", reason="BAD_NAME"
        )
    return rows


def _objects(data: object) -> tuple[list[Features], bool]:
    if isinstance(data, dict):
        return [data], True
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return data, False
    raise malformed("expected features as an object of names and values, or a list of such objects")


_rows_decoder = msgspec.json.Decoder(dict[str, Value] | list[dict[str, Value]])


def _parse(text: object) -> object:
    try:
        return _rows_decoder.decode(str(text))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise malformed(f"expected strData to be JSON text of features: {error}") from error


def _short(shape: list[int]) -> str:
    return str(shape) if len(shape) <= 8 else f"{len(shape)} dimensions"
