"""Seldon's gRPC on our server: answers, refusals as statuses, tokens, and how it stops."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

grpc = pytest.importorskip("grpc", reason="the extra `grpc` is not installed")

from google.protobuf import json_format  # noqa: E402 - part of the same extra

from odl.errors import Misconfigured  # noqa: E402
from seldon.access import parse_tokens, token_digest  # noqa: E402
from seldon.grpc_front import GrpcFront  # noqa: E402
from seldon.guard import Guard  # noqa: E402
from seldon.message import BODY_BYTES_MAX  # noqa: E402
from seldon.metrics import PlaneMetrics  # noqa: E402
from seldon.protos import PACKAGE, message_types  # noqa: E402
from seldon.service import Service  # noqa: E402

X = {"origin": "JFK", "distance": 1400}
TRUTH = {"request": {"jsonData": X, "meta": {"puid": "p-1"}}, "truth": {"strData": "late"}}
Call = Callable[..., Any]


@pytest.fixture
def metrics() -> PlaneMetrics:
    return PlaneMetrics()


@pytest.fixture
def call(service: Service, metrics: PlaneMetrics) -> Iterator[Call]:
    front = GrpcFront(service, metrics)
    port = front.start("127.0.0.1", 0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield lambda *arguments, **metadata: ask(channel, *arguments, **metadata)
    assert front.stop(1)(60)


def ask(channel: Any, method: str, message: dict[str, Any] | bytes, **metadata: str) -> Any:
    """The answer of `Service/Method` as JSON."""
    kind = "Feedback" if method.endswith("SendFeedback") else "SeldonMessage"
    answer = "SeldonModelMetadata" if method.endswith("Metadata") else "SeldonMessage"
    types = message_types()
    body = message
    if not isinstance(body, bytes):
        body = json_format.ParseDict(message, types[kind]()).SerializeToString()
    sent = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    done = channel.unary_unary(f"/{PACKAGE}.{method}")(body, metadata=sent, timeout=60, wait_for_ready=True)
    return json_format.MessageToDict(types[answer].FromString(done))


@pytest.mark.parametrize("name", ["Model", "Seldon"])
def test_it_predicts_and_learns_like_rest(call: Call, bench, name: str) -> None:
    expected = bench.plane.predict({"jsonData": X, "meta": {"puid": "p"}})
    assert call(f"{name}/Predict", {"jsonData": X, "meta": {"puid": "p"}}) == expected
    receipt = call(f"{name}/SendFeedback", TRUTH)
    assert receipt["meta"]["tags"] == {"outcome": "accepted", "version": 1, "durability": "memory"}
    again = call(f"{name}/SendFeedback", TRUTH)["meta"]["tags"]
    assert (again["outcome"], again["version"]) == ("duplicate", 1)
    written = call(f"{name}/Predict", {"jsonData": X, "meta": {"tags": {"min_version": 1}}})
    assert written["meta"]["tags"]["version"] == 1


def test_rows_come_back_in_the_form_they_were_sent_in(call: Call) -> None:
    table = call("Model/Predict", {"data": {"ndarray": [["JFK", 1], ["EWR", None]]}})
    assert table["data"] == {"names": ["on time", "late"], "ndarray": [[0.5, 0.5], [0.5, 0.5]]}
    tensor = {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1, 2]}}
    assert call("Model/Predict", {"data": tensor})["data"]["tensor"]["shape"] == [2, 2]
    assert set(call("Model/Predict", {"strData": '{"distance": 1}'})) == {"meta", "strData"}


def test_client_and_event_id_come_as_metadata(call: Call, bench) -> None:
    nameless = {"request": {"jsonData": X}, "truth": {"strData": "late"}}
    receipt = call("Model/SendFeedback", nameless, idempotency_key="k-1", x_client_id="gate-7")
    assert receipt["meta"]["puid"] == "k-1"
    assert b'"source":"rest:gate-7"' in bench.log.read(0, 1).entries[0].payload


def test_the_model_introduces_itself(call: Call) -> None:
    assert call("Model/Metadata", b"")["name"] == call("Seldon/ModelMetadata", b"")["name"] == "flights"


@pytest.mark.parametrize(
    ("method", "message", "code", "reason"),
    [
        ("Model/Predict", {"jsonData": {"gate": 1}}, "INVALID_ARGUMENT", "BAD_FEATURES"),
        ("Model/Predict", {}, "INVALID_ARGUMENT", "MALFORMED"),
        ("Model/Predict", b"\xff\xff", "INVALID_ARGUMENT", "MALFORMED"),
        ("Model/Predict", {"jsonData": {"distance": "NaN"}}, "INVALID_ARGUMENT", "BAD_FEATURES"),
        (
            "Model/Predict",
            {"data": {"names": ["distance"], "tensor": {"shape": [1, 1], "values": ["NaN"]}}},
            "INVALID_ARGUMENT",
            "MALFORMED",
        ),
        ("Model/SendFeedback", {}, "INVALID_ARGUMENT", "MALFORMED"),
        ("Model/SendFeedback", {**TRUTH, "truth": {"strData": "early"}}, "INVALID_ARGUMENT", "BAD_LABEL"),
    ],
)
def test_a_refusal_is_a_status_with_one_sentence(
    call: Call, bench, metrics: PlaneMetrics, method: str, message: Any, code: str, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(method, message)
    assert caught.value.code().name == code and "\n" not in caught.value.details()
    assert dict(caught.value.trailing_metadata())["reason"] == reason
    assert bench.log.head().version == 0
    assert f'reason="{reason}"'.encode() in metrics.exposition({})


def test_nesting_without_end_and_bodies_beyond_the_cap_are_refused(call: Call) -> None:
    nested = b""
    for _ in range(500):  # a list in a list in a list …: Value 6 is a ListValue, whose values are field 1
        inner = b"\x0a" + varint(len(nested)) + nested if nested else b""
        nested = b"\x32" + varint(len(inner)) + inner
    for body, code in (
        (b"\x32" + varint(len(nested)) + nested, "INVALID_ARGUMENT"),
        (b"\x2a" + varint(BODY_BYTES_MAX) + b" " * BODY_BYTES_MAX, "RESOURCE_EXHAUSTED"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call("Model/Predict", body)
        assert caught.value.code().name == code


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_a_replica_that_stopped_is_unavailable(call: Call, bench) -> None:
    bench.replica.stop()
    with pytest.raises(grpc.RpcError) as caught:
        call("Model/Predict", {"jsonData": X})
    assert caught.value.code().name == "UNAVAILABLE"
    assert dict(caught.value.trailing_metadata())["retry-after"] == "1"


def test_tokens_are_required_where_the_server_requires_them(bench) -> None:
    access = parse_tokens(f"predict {token_digest('s3cret')} shop")
    guarded = Service("flights", bench.replica, bench.plane, ExitStack(), task="binary", guard=Guard(access))
    front = GrpcFront(guarded, PlaneMetrics())
    with grpc.insecure_channel(f"127.0.0.1:{front.start('127.0.0.1', 0)}") as channel:
        sent = {"authorization": "Bearer s3cret"}
        assert "jsonData" in ask(channel, "Model/Predict", {"jsonData": X}, **sent)
        for method, headers, code in (
            ("Model/Predict", {}, "UNAUTHENTICATED"),
            ("Model/SendFeedback", sent, "PERMISSION_DENIED"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, method, TRUTH if method.endswith("Feedback") else {"jsonData": X}, **headers)
            assert caught.value.code().name == code
    assert front.stop(1)(60)


def test_a_port_that_is_taken_is_one_clear_line(service: Service) -> None:
    first, second = GrpcFront(service, PlaneMetrics()), GrpcFront(service, PlaneMetrics())
    port = first.start("127.0.0.1", 0)
    with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{port}"):
        second.start("127.0.0.1", port)
    assert first.stop(1)(60) and second.stop(1)(60)
