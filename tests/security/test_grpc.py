"""gRPC keeps the same rules: certificates, scopes, rates, and messages nested without end."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Certificate
from secured_replica import MODEL, Running, running

from seldon.access import token_digest

grpc = pytest.importorskip("grpc", reason="needs the extra grpc")
from seldon.protos import message_types  # noqa: E402

pytestmark = pytest.mark.xdist_group("grpc")  # so that its servers start once
TYPES = message_types()
PREDICT, FEEDBACK = "/seldon.protos.Seldon/Predict", "/seldon.protos.Seldon/SendFeedback"
SERVE = "[serve]\nfeedback_per_second_max = 0.001\nfeedback_burst_max = 3\n"


@pytest.fixture(scope="module")
def server(
    valkey_url: str, localhost: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("grpc")
    (folder / "model.toml").write_text(f'name = "by-grpc"\n{MODEL}\n{SERVE}')
    senders = [f"feedback {token_digest(name)} {name}" for name in ("good", "bad")]
    (folder / "tokens").write_text("\n".join([f"predict {token_digest('p')}", *senders]))
    arguments = ["--model", str(folder / "model.toml"), "--redis", valkey_url, "--grpc-port", "0"]
    environment = {
        "ODL_TOKENS": str(folder / "tokens"),
        "ODL_TLS_CERT": str(localhost.cert),
        "ODL_TLS_KEY": str(localhost.key),
        "ODL_TLS_CLIENT_CA": str(localhost.ca),
    }
    with running(arguments, environment) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: Running, localhost: Certificate, visitor: Certificate) -> Iterator[Any]:
    credentials = grpc.ssl_channel_credentials(
        localhost.ca.read_bytes(), visitor.key.read_bytes(), visitor.cert.read_bytes()
    )
    with grpc.secure_channel(address(server), credentials) as channel:
        yield channel


def address(server: Running) -> str:
    return "127.0.0.1:" + server.url_line.split("gRPC on port ")[1].split(",")[0]


def call(channel: Any, path: str, body: bytes, token: str = "") -> Any:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    answer = channel.unary_unary(path)(body, metadata=metadata, timeout=60)
    return TYPES["SeldonMessage"].FromString(answer)


def refusal(channel: Any, path: str, body: bytes, token: str = "") -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, path, body, token)
    assert "\n" not in caught.value.details() and "Traceback" not in caught.value.details()
    return caught.value.code()


def request() -> bytes:
    return TYPES["SeldonMessage"](strData=json.dumps({"origin": "JFK", "distance": 1})).SerializeToString()


def feedback(puid: str) -> bytes:
    message = TYPES["Feedback"]()
    message.request.strData = json.dumps({"origin": "JFK", "distance": 1})
    message.request.meta.puid = puid
    message.truth.strData = "late"
    return message.SerializeToString()


def test_tokens_keep_their_scopes(channel: Any) -> None:
    assert call(channel, PREDICT, request(), "p").meta.puid
    assert call(channel, FEEDBACK, feedback("scopes"), "good").meta.tags["outcome"].string_value == "accepted"
    assert refusal(channel, PREDICT, request()) is grpc.StatusCode.UNAUTHENTICATED
    assert refusal(channel, FEEDBACK, feedback("x"), "wrong") is grpc.StatusCode.UNAUTHENTICATED
    assert refusal(channel, PREDICT, request(), "good") is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(channel, FEEDBACK, feedback("x"), "p") is grpc.StatusCode.PERMISSION_DENIED


def test_without_a_certificate_of_the_authority_nobody_gets_in(
    server: Running, localhost: Certificate, stranger: Certificate
) -> None:
    strange = grpc.ssl_channel_credentials(
        localhost.ca.read_bytes(), stranger.key.read_bytes(), stranger.cert.read_bytes()
    )
    for credentials in (grpc.ssl_channel_credentials(localhost.ca.read_bytes()), strange):
        with grpc.secure_channel(address(server), credentials) as channel:
            assert refusal(channel, PREDICT, request(), "p") is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("levels", [50, 99, 200, 2_000, 20_000])
def test_a_message_nested_without_end_is_refused_and_the_next_one_answered(channel: Any, levels: int) -> None:
    """What CVE-2025-4565 is about: protobuf of this age has no bound of its own in Python."""
    nested = b""
    for _ in range(levels):  # a Value that holds a ListValue that holds a Value …
        nested = b"\x0a" + length(nested) + nested  # ListValue.values
        nested = b"\x32" + length(nested) + nested  # Value.list_value
    body = b"\x32" + length(nested) + nested  # SeldonMessage.jsonData
    assert refusal(channel, PREDICT, body, "p") is grpc.StatusCode.INVALID_ARGUMENT
    assert call(channel, PREDICT, request(), "p").meta.puid


def length(body: bytes) -> bytes:
    """The length of a field, as protobuf writes it."""
    digits, rest = [], len(body)
    while True:
        rest, digit = rest >> 7, rest & 0x7F
        digits.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes(digits)


def test_a_body_beyond_the_cap_is_refused(channel: Any) -> None:
    assert refusal(channel, PREDICT, b"x" * (2 << 20), "p") is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_bad_source_is_bounded_and_can_be_left_out_afterwards(
    server: Running,
    channel: Any,
    valkey_url: str,
    localhost: Certificate,
    visitor: Certificate,
    tmp_path: Path,
) -> None:
    codes = []
    for number in range(8):
        try:
            call(channel, FEEDBACK, feedback(f"bad-{number}"), "bad")
            codes.append(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.append(error.code())
            assert "retry-after" in dict(error.trailing_metadata())
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    learned_from_bad = codes.count(grpc.StatusCode.OK)
    call(channel, FEEDBACK, feedback("good-1"), "good")

    (tmp_path / "model.toml").write_text(f'name = "by-grpc"\n{MODEL}\n{SERVE}')

    command = [sys.executable, "-m", "odl", "replay", "--json", "--redis", valkey_url]
    done = subprocess.run(
        [*command, "--model", str(tmp_path / "model.toml"), "--without", "rest:bad"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if not name.startswith("ODL_")},
    )
    told = json.loads(done.stdout)
    everything, without = told["as_it_is"], told["what_if"]
    assert without["version"] == everything["version"]
    assert without["skipped"] - everything["skipped"] == learned_from_bad
    assert without["digest"] != everything["digest"]
    context = ssl.create_default_context(cafile=str(localhost.ca))
    context.load_cert_chain(visitor.cert, visitor.key)
    served = httpx.get(f"{server.url}/status", verify=context, timeout=30).json()
    assert served["digest"] == everything["digest"]
