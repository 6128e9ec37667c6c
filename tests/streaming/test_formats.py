"""Values in JSON and in Avro mean the same; what cannot be read becomes a dead letter with its own bytes."""

import datetime
import io
import json
from pathlib import Path
from typing import Any

import pytest
from registry import SchemaRegistry

from odl.errors import InvalidEvent, Misconfigured, Unavailable
from odl.event import Event
from odl.remembered import MemoryPredictions, Remembered
from streaming.formats import AvroFile, AvroRegistry, JsonValues, open_values
from streaming.join import Join
from streaming.message import decode_value, encode_value
from streaming.producer import FeedbackProducer

fastavro = pytest.importorskip("fastavro", reason="needs the extra schemas")
SCHEMA = {
    "type": "record",
    "name": "Feedback",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "x", "type": {"type": "map", "values": ["null", "double", "string", "boolean"]}},
        {"name": "y", "type": "string"},
        {"name": "time_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
    ],
}
RECORD = {
    "id": "e-1",
    "x": {"n": 1.5, "city": "Rome", "new": True, "gone": None},
    "y": "a",
    "time_ms": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
}
EVENT = Event(id="e-1", x=RECORD["x"], y="a", time_ms=1767312000000)  # type: ignore[arg-type]


def avro(record: dict[str, Any] = RECORD) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(SCHEMA), record)
    return buffer.getvalue()


def event_in(text: bytes) -> Event:
    return decode_value(text, source="", seq="")


@pytest.fixture
def schema_file(tmp_path: Path) -> Path:
    path = tmp_path / "event.avsc"
    path.write_text(json.dumps(SCHEMA))
    return path


class Registry:
    """The client's own registry in memory."""

    def __init__(self) -> None:
        from confluent_kafka.schema_registry import Schema

        self.values = AvroRegistry("mock://registry")
        self._schema_id = self.values._client.register_schema("s", Schema(json.dumps(SCHEMA), "AVRO"))

    def framed(self, record: dict[str, Any] = RECORD) -> bytes:
        return b"\0" + self._schema_id.to_bytes(4, "big") + avro(record)


def test_json_with_and_without_a_frame_is_the_same() -> None:
    plain = encode_value(EVENT)
    assert event_in(JsonValues().to_json(plain, "t")) == EVENT
    assert event_in(JsonValues().to_json(b"\0\0\0\0\x09" + plain, "t")) == EVENT


def test_avro_with_a_schema_file_is_the_same_event(schema_file: Path) -> None:
    assert event_in(AvroFile(schema_file).to_json(avro(), "t")) == EVENT


def test_avro_with_a_registry_is_the_same_event() -> None:
    registry = Registry()
    assert event_in(registry.values.to_json(registry.framed(), "t")) == EVENT


@pytest.mark.parametrize("junk", [b"", b"junk", b"\xff" * 40, b"\0", avro()[:-1], avro() + b"x"])
def test_what_is_no_record_is_refused(schema_file: Path, junk: bytes) -> None:
    with pytest.raises(InvalidEvent) as refused:
        event_in(AvroFile(schema_file).to_json(junk, "t"))
    assert refused.value.reason in ("MALFORMED", "BAD_FIELD")
    with pytest.raises(InvalidEvent):
        Registry().values.to_json(junk, "t")


def test_a_schema_that_nobody_knows_is_the_values_fault_a_registry_that_is_away_is_not() -> None:
    with pytest.raises(InvalidEvent) as refused:
        Registry().values.to_json(b"\0\0\0\0\x63" + avro(), "t")
    assert refused.value.reason == "UNKNOWN_SCHEMA"
    with pytest.raises(Unavailable, match="cannot be reached"):
        AvroRegistry("http://127.0.0.1:1").to_json(b"\0\0\0\0\x01" + avro(), "t")


def test_settings_that_contradict_each_other_are_refused(schema_file: Path, tmp_path: Path) -> None:
    assert isinstance(open_values("json", "", "", {}), JsonValues)
    assert isinstance(open_values("avro", "", str(schema_file), {}), AvroFile)
    for kind, registry, schema in (("json", "", "a"), ("avro", "", ""), ("avro", "http://a", "b")):
        with pytest.raises(Misconfigured, match="expected"):
            open_values(kind, registry, schema, {})  # type: ignore[arg-type]
    (tmp_path / "bad.avsc").write_text("{}")
    for name in ("bad.avsc", "none.avsc"):
        with pytest.raises(Misconfigured, match="cannot be read"):
            open_values("avro", "", str(tmp_path / name), {})


def test_a_consumer_reads_avro_and_what_odl_itself_produced(stream: Any, schema_file: Path) -> None:
    stream.produce_raw(avro())
    junk = b"\xff" * 40
    stream.produce_raw(junk, key=b"k")
    label = {**RECORD, "id": "e-2", "y": "unknown"}
    stream.produce_raw(avro(label))
    stream.produce_raw(None)
    stream.flush()
    with FeedbackProducer(stream.broker.bootstrap, stream.topic) as producer:
        producer.deliver(Event(id="e-3", x={"n": 1}, y="a", source="rest:shop"))
    running = stream.start(values=AvroFile(schema_file))
    stream.wait_for_position(4)
    assert sorted(stream.log.ids()) == ["e-1", "e-3"]
    assert stream.log.events()[0].x == EVENT.x
    dead = stream.dead()
    assert [(letter.reason, letter.value) for letter in dead] == [
        ("MALFORMED", junk),
        ("BAD_LABEL", avro(label)),
    ]
    assert running.error is None


def test_avro_of_a_registry_goes_from_confluents_serializer_into_the_log(stream: Any) -> None:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    label = {
        "type": "record",
        "name": "Label",
        "fields": [{"name": "id", "type": "string"}, {"name": "truth", "type": "string"}],
    }
    predictions = MemoryPredictions(ttl_s=1000.0, records_max=10)
    predictions.put("p-1", Remembered({"n": 7}, {"a": 0.5, "b": 0.5}, version=0))
    with SchemaRegistry() as registry:
        client = SchemaRegistryClient({"url": registry.url})
        context = SerializationContext(stream.topic, MessageField.VALUE)
        for schema, record in ((SCHEMA, RECORD), (label, {"id": "p-1", "truth": "b"})):
            stream.produce_raw(AvroSerializer(client, json.dumps(schema))(record, context))
        unknown = b"\0\0\0\0\x63" + avro()
        stream.produce_raw(unknown)
        running = stream.start(values=AvroRegistry(registry.url), join=Join(stream.log, predictions))
        stream.wait_for_position(2)
        running.stop()
    assert [(event.id, event.x, event.y) for event in stream.log.events()] == [
        ("e-1", EVENT.x, "a"),
        ("p-1", {"n": 7}, "b"),
    ]
    assert [(letter.reason, letter.value) for letter in stream.dead()] == [("UNKNOWN_SCHEMA", unknown)]
    assert running.error is None


def test_while_the_registry_is_away_the_consumer_waits(stream: Any, wait_until: Any) -> None:
    registry = Registry()

    class Away:
        """Answers at the third attempt."""

        attempts = 0

        def to_json(self, value: bytes, topic: str) -> bytes:
            self.attempts += 1
            if self.attempts < 3:
                raise Unavailable("the schema registry cannot be reached")
            return registry.values.to_json(value, topic)

    stream.produce_raw(registry.framed())
    running = stream.start(values=Away())
    stream.wait_for_version(1)
    assert stream.log.ids() == ["e-1"]
    assert stream.dead() == []
    assert running.consumer.stats().retries >= 2
