"""How the values of messages are written: JSON, or Avro with or without a schema registry.

Everything becomes the JSON that `streaming.message` and `streaming.join` read, so a field means the same in
every format. Confluent's framing (a zero byte and a schema id of four bytes before the value) is understood:
in JSON it is passed over, in Avro it names the writer's schema, which the registry is asked for once.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from odl.errors import InvalidEvent, Misconfigured, Unavailable
from streaming.message import VALUE_BYTES_MAX, too_large
from streaming.row_events import milliseconds

Format = Literal["json", "avro"]

_FRAME = 5  # bytes before a value: 0 and the schema's id


class Values(Protocol):
    """How to read values."""

    def to_json(self, value: bytes, topic: str) -> bytes:
        """The JSON of a value. Raises `InvalidEvent` for one that cannot be read, `Unavailable` while the
        schema registry is away (the value may be all right)."""


class JsonValues:
    """JSON, framed or not."""

    def to_json(self, value: bytes, topic: str) -> bytes:
        """The value, without a frame.

        >>> JsonValues().to_json(bytes([0, 0, 0, 0, 7]) + b'{"id": "a"}', "feedback")
        b'{"id": "a"}'
        """
        return value[_FRAME:] if value[:1] == b"\0" else value  # no JSON begins with a zero byte


class AvroFile:
    """Avro without a registry: plain binary, one schema for all values."""

    def __init__(self, path: str | Path) -> None:
        """Raises `Misconfigured`."""
        fastavro = _library("fastavro")
        try:
            self._schema = fastavro.schema.load_schema(str(path))
        except (OSError, ValueError, KeyError, fastavro.schema.SchemaParseException) as error:
            raise Misconfigured(f"the Avro schema {path} cannot be read: {error}") from error
        except fastavro.repository.base.SchemaRepositoryError as error:
            raise Misconfigured(f"the Avro schema {path} cannot be read: {error}") from error
        self._read = fastavro.schemaless_reader

    def to_json(self, value: bytes, topic: str) -> bytes:
        """The record as JSON."""
        import io

        check_size(value)
        buffer = io.BytesIO(value)
        try:
            record = self._read(buffer, self._schema, None)
        except Exception as error:
            raise _unreadable(error) from error
        if buffer.read(1):
            raise _unreadable("bytes are left after the record")
        return record_to_json(record)


class AvroRegistry:
    """Avro in Confluent's framing, with the writers' schemas in a registry."""

    def __init__(self, url: str, login: str = "") -> None:
        """`login`: `user:password`, if the registry wants one. Raises `Misconfigured`."""
        registry = _library("confluent_kafka.schema_registry")
        avro = _library("confluent_kafka.schema_registry.avro")
        settings = {"url": url} | ({"basic.auth.user.info": login} if login else {})
        try:
            self._client = registry.SchemaRegistryClient.new_client(settings)
        except ValueError as error:
            raise Misconfigured(f"the schema registry {url} cannot be used: {error}") from error
        self.url = url
        self._read = avro.AvroDeserializer(self._client)
        self._errors = _library("confluent_kafka.schema_registry.error")
        self._context = _library("confluent_kafka.serialization").SerializationContext

    def to_json(self, value: bytes, topic: str) -> bytes:
        """The record as JSON; the schema is asked for once."""
        check_size(value)
        if value[:1] != b"\0" or len(value) <= _FRAME:
            raise _unreadable("no schema id stands before it")
        self._check_schema(int.from_bytes(value[1:_FRAME], "big"))
        try:
            record = self._read(value, self._context(topic, "value"))
        except Exception as error:
            raise _unreadable(error) from error
        return record_to_json(record)

    def _check_schema(self, schema_id: int) -> None:
        """Fetch the schema (the client keeps it): whether that fails is not the value's fault."""
        try:
            self._client.get_schema(schema_id)
        except self._errors.SchemaRegistryError as error:
            if error.http_status_code == 404:
                raise InvalidEvent(
                    f"the schema registry knows no schema {schema_id}", reason="UNKNOWN_SCHEMA"
                ) from error
            raise Unavailable(f"the schema registry {self.url} answers: {error}") from error
        except Exception as error:
            raise Unavailable(f"the schema registry {self.url} cannot be reached: {error}") from error


def open_values(kind: Format, registry: str, schema: str, environment: Mapping[str, str]) -> Values:
    """What reads the values of a topic, as [kafka] in the model file says. Raises `Misconfigured`."""
    if kind == "json":
        if registry or schema:
            raise Misconfigured('[kafka]: expected values = "avro" beside schema_registry or schema')
        return JsonValues()
    if bool(registry) == bool(schema):
        raise Misconfigured('[kafka]: expected either schema_registry or schema with values = "avro"')
    if schema:
        return AvroFile(schema)
    return AvroRegistry(registry, environment.get("ODL_SCHEMA_REGISTRY_LOGIN", ""))


def record_to_json(record: Any) -> bytes:
    """A decoded record as JSON; points in time become Unix milliseconds."""
    try:
        return msgspec.json.encode(_plain(record))
    except (TypeError, ValueError) as error:
        raise _unreadable(error) from error


def check_size(value: bytes) -> None:
    """Raise `InvalidEvent` for a value that is too large to be read at all."""
    if len(value) > VALUE_BYTES_MAX:
        raise too_large(len(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, date):
        return milliseconds("a field", value)
    return float(value) if isinstance(value, Decimal) else value


def _unreadable(cause: object) -> InvalidEvent:
    return InvalidEvent(f"the value cannot be read as Avro: {cause}", reason="MALFORMED")


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise Misconfigured(
            f"Avro values need the extra `schemas` ({error}): pip install 'odl[schemas]'"
        ) from error
