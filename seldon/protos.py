"""Seldon's protobuf messages, described here so that gRPC needs neither seldon-core nor a compiler.

Names, numbers and types are those of package `seldon.protos`, so its clients and ours read each other. What
this server refuses anyway (binary and TensorFlow data, custom data) is left out: protobuf skips such fields.

>>> types = message_types()
>>> types["SeldonMessage"](strData="{}").SerializeToString()
b'*\\x02{}'
"""

import functools
import re
from typing import Any

from google.protobuf import descriptor_pb2, empty_pb2, message_factory, struct_pb2  # type: ignore[import-untyped]

PACKAGE = "seldon.protos"
VALUE, LIST = "google.protobuf.Value", "google.protobuf.ListValue"

# message -> field -> (number, type); a type that begins with "one of" shares its message's oneof
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "SeldonMessage": {
        "status": (1, "Status"),
        "meta": (2, "Meta"),
        "data": (3, "one of DefaultData"),
        "strData": (5, "one of string"),
        "jsonData": (6, f"one of {VALUE}"),
    },
    "DefaultData": {
        "names": (1, "repeated string"),
        "tensor": (2, "one of Tensor"),
        "ndarray": (3, f"one of {LIST}"),
    },
    "Tensor": {"shape": (1, "repeated int32"), "values": (2, "repeated double")},
    "Meta": {
        "puid": (1, "string"),
        "tags": (2, f"map of {VALUE}"),
        "routing": (3, "map of int32"),
        "requestPath": (4, "map of string"),
    },
    "Status": {"code": (1, "int32"), "info": (2, "string"), "reason": (3, "string"), "status": (4, "int32")},
    "Feedback": {
        "request": (1, "SeldonMessage"),
        "response": (2, "SeldonMessage"),
        "reward": (3, "float"),
        "truth": (4, "SeldonMessage"),
    },
    "SeldonModelMetadataRequest": {"name": (1, "string")},
    "SeldonMessageMetadata": {"messagetype": (1, "string"), "schema": (2, VALUE)},
    "SeldonModelMetadata": {
        "name": (1, "string"),
        "versions": (2, "repeated string"),
        "platform": (3, "string"),
        "inputs": (4, "repeated SeldonMessageMetadata"),
        "outputs": (5, "repeated SeldonMessageMetadata"),
        "custom": (6, "map of string"),
    },
}
_ONEOF = "data_oneof"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "int32": _FIELD.TYPE_INT32,
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
}


@functools.cache
def message_types() -> dict[str, Any]:
    """The message classes by name, in a pool of their own: seldon-core may be loaded beside them."""
    known = [struct_pb2, empty_pb2]
    files = []
    for module in known:
        files.append(descriptor_pb2.FileDescriptorProto())
        module.DESCRIPTOR.CopyToProto(files[-1])
    types = message_factory.GetMessages([*files, _file([file.name for file in files])])
    return {name.removeprefix(f"{PACKAGE}."): kind for name, kind in types.items()}


def _file(dependencies: list[str]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="odl/seldon.proto", package=PACKAGE, syntax="proto3", dependency=dependencies
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("one of ") for _, kind in fields.values()):
            message.oneof_decl.add(name=_ONEOF)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    return file


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    how, of = re.fullmatch(r"(?:(one of|repeated|map of) )?(\S+)", kind).groups()  # type: ignore[union-attr]
    field = message.field.add(name=name, number=number, json_name=name, label=_FIELD.LABEL_OPTIONAL)
    if how in ("repeated", "map of"):
        field.label = _FIELD.LABEL_REPEATED
    if how == "one of":
        field.oneof_index = 0
    if how == "map of":
        entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, of)
        of = f"{message.name}.{entry.name}"
    if of in _SCALARS:
        field.type = _SCALARS[of]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{of}" if of.startswith("google.") else f".{PACKAGE}.{of}"
