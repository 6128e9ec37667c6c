"""The Open Inference Protocol (V2), as KServe and Seldon Core 2 speak it: tensors in, tensors out.

A tensor of shape [rows] or [rows, 1] is the feature that it is named after; one tensor of shape
[rows, features] holds all features in the order that the model declares.

>>> body = b'{"inputs":[{"name":"origin","shape":[2],"datatype":"BYTES","data":["JFK","EWR"]}]}'
>>> read_inference(body).request.rows
[{'origin': 'JFK'}, {'origin': 'EWR'}]
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import msgspec

from odl.errors import InvalidEvent
from odl.event import Features, Value
from odl.mailbox import Answer
from seldon.answer import NUMBER_NAME
from seldon.message import BODY_BYTES_MAX, Json, malformed, too_large
from seldon.puid import check_puid, new_puid
from seldon.request import ROWS_MAX, Form, Request, read_version

_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_FLOATS = ("FP16", "FP32", "FP64")
# JSON types that a tensor of a datatype may hold; null is a missing value in all of them
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "BYTES": (str,),
    "BOOL": (bool,),
    **dict.fromkeys(_INTEGERS, (int,)),
    **dict.fromkeys(_FLOATS, (float, int)),
}
DATATYPES = {"number": "FP64", "category": "BYTES"}  # of declared features
Datatype = Literal[
    "BYTES",
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
]


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input: its values in row order, flat or as a list of rows."""

    name: str
    shape: list[int]  # [rows], [rows, 1] or [rows, features]
    datatype: Datatype
    data: list[list[Value] | Value]
    parameters: dict[str, Any] = {}  # ignored


class OutputName(msgspec.Struct, forbid_unknown_fields=True):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] = {}  # ignored


class InferenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an inference."""

    inputs: list[InputTensor]
    id: str = ""  # prediction id
    parameters: dict[str, Any] = {}  # read: min_version
    outputs: list[OutputName] = []  # none: all


@dataclass(frozen=True, slots=True)
class Inference:
    """What a client asks for."""

    request: Request
    outputs: frozenset[str]  # empty: all


_decoder = msgspec.json.Decoder(InferenceRequest)


def read_inference(body: bytes, names: Sequence[str] = ()) -> Inference:
    """The request in a body. `names`: the order of columns that the model declares. Raises `InvalidEvent`."""
    if len(body) > BODY_BYTES_MAX:
        raise too_large(len(body))
    try:
        message = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(f"expected an inference request: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"expected JSON: {error}") from error
    check_puid(message.id)
    request = Request(
        rows=_rows(message.inputs, names),
        form=Form.JSON,
        single=False,
        puid=message.id,
        min_version=read_version(message.parameters, "min_version", "parameters"),
    )
    return Inference(request, frozenset(output.name for output in message.outputs))


def inference_answer(name: str, model_version: str, inference: Inference, answer: Answer) -> Json:
    """The inference response. Of classes: `probabilities` [rows, classes], `classes` (what its columns are)
    and `label` [rows] (the likeliest); of a regression: `prediction` [rows]. Raises `InvalidEvent` for an
    output that there is not."""
    puid = inference.request.puid or new_puid()
    parameters: Json = {"version": answer.version, "epoch": answer.epoch, "puid": puid}
    if answer.stale:
        parameters["stale"] = True
    outputs = _outputs(answer)
    known = {output["name"] for output in outputs}
    if not inference.outputs <= known:
        raise malformed(f"expected outputs out of {', '.join(sorted(known))}, received others")
    return {
        "model_name": name,
        "model_version": model_version,
        "id": puid,
        "parameters": parameters,
        "outputs": [each for each in outputs if not inference.outputs or each["name"] in inference.outputs],
    }


def server_metadata() -> Json:
    """The server's name and version."""
    return {"name": "odl", "version": version("odl"), "extensions": []}


def model_metadata(name: str, model_version: str, task: str, fields: dict[str, str]) -> Json:
    """The model's name, version, inputs and outputs."""
    if task == "regression":
        outputs = [{"name": NUMBER_NAME, "datatype": "FP64", "shape": [-1]}]
    else:
        outputs = [
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, -1]},
            {"name": "classes", "datatype": "BYTES", "shape": [-1]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ]
    return {
        "name": name,
        "versions": [model_version],
        "platform": "odl",
        "inputs": [
            {"name": field, "datatype": DATATYPES.get(kind, "FP64"), "shape": [-1]}
            for field, kind in fields.items()
        ],
        "outputs": outputs,
    }


def _rows(inputs: Sequence[InputTensor], names: Sequence[str]) -> list[Features]:
    if not inputs:
        raise InvalidEvent("expected at least one input, received none", reason="EMPTY")
    columns: dict[str, list[Value]] = {}
    for tensor in inputs:
        for name, column in _columns(tensor, names, alone=len(inputs) == 1):
            if name in columns:
                raise InvalidEvent(
                    f"expected each input once, received '{name:.200}' again", reason="BAD_NAME"
                )
            columns[name] = column
    heights = {len(column) for column in columns.values()}
    if len(heights) > 1:
        raise InvalidEvent(
            f"expected inputs of as many rows each, received {sorted(heights)}", reason="BAD_SHAPE"
        )
    if heights == {0}:
        raise InvalidEvent("expected at least one row, received none", reason="EMPTY")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(tensor: InputTensor, names: Sequence[str], *, alone: bool) -> list[tuple[str, list[Value]]]:
    shape, values = tensor.shape, _flat(tensor)
    if not 1 <= len(shape) <= 2 or min(shape) < 0 or math.prod(shape) != len(values):
        raise InvalidEvent(
            f"expected in input '{tensor.name:.200}' a shape of one or two dimensions that its {len(values)} "
            f"values fill, received {shape[:8]}",
            reason="BAD_SHAPE",
        )
    if shape[0] > ROWS_MAX:
        raise InvalidEvent(f"expected at most {ROWS_MAX} rows, received {shape[0]}", reason="TOO_MANY")
    kinds = (*JSON_TYPES[tensor.datatype], type(None))
    if not all(type(value) in kinds for value in values):
        raise InvalidEvent(
            f"expected values of {tensor.datatype} in input '{tensor.name:.200}', received others",
            reason="BAD_DATATYPE",
        )
    if len(shape) == 1 or shape[1] == 1:
        return [(tensor.name, values)]
    width = shape[1]
    if not alone or width != len(names):
        raise InvalidEvent(
            f"expected inputs of shape [rows], one for each feature, or a single one of shape "
            f"[rows, {len(names)}] in the order that the model declares, received {shape}",
            reason="BAD_SHAPE",
        )
    return [(name, values[number::width]) for number, name in enumerate(names)]


def _flat(tensor: InputTensor) -> list[Value]:
    values: list[Value] = []
    for value in tensor.data:
        if isinstance(value, list):
            values += value
        else:
            values.append(value)
    return values


def _outputs(answer: Answer) -> list[Json]:
    rows = answer.predictions
    if not isinstance(rows[0], dict):
        return [{"name": NUMBER_NAME, "datatype": "FP64", "shape": [len(rows)], "data": rows}]
    classes = list(rows[0])
    named = [row for row in rows if isinstance(row, dict)]
    return [
        {
            "name": "probabilities",
            "datatype": "FP64",
            "shape": [len(rows), len(classes)],
            "data": [value for row in named for value in row.values()],
        },
        {"name": "classes", "datatype": "BYTES", "shape": [len(classes)], "data": classes},
        {
            "name": "label",
            "datatype": "BYTES",
            "shape": [len(rows)],
            "data": [max(row, key=row.__getitem__) for row in named],
        },
    ]
