"""What a client may send: bounds before parsing, one clear sentence for the rest, on a running replica."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from secured_replica import MODEL, Running, X, feedback, running

from odl.event import FIELDS_MAX, ID_LENGTH_MAX, NAME_LENGTH_MAX, STRING_LENGTH_MAX
from seldon.access import token_digest
from seldon.message import BODY_BYTES_MAX
from seldon.request import ROWS_MAX
from seldon.server import HEADER_BYTES_MAX

pytestmark = pytest.mark.xdist_group("secured")  # so that its servers start once
PREDICT, FEEDBACK = "/api/v1.0/predictions", "/api/v1.0/feedback"
NAN = float("nan")
EXPECTED_S_MAX = 60.0


@pytest.fixture(scope="module")
def server(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = tmp_path_factory.mktemp("requests") / "model.toml"
    model.write_text(f'name = "requests"\n{MODEL}')
    with running(["--model", str(model), "--redis", valkey_url], {}) as server:
        yield server


def version(server: Running) -> int:
    return httpx.get(f"{server.url}/status", timeout=30).json()["version"]


def refusal(server: Running, path: str, body: Any) -> tuple[int, str]:
    """Status and sentence of a refused request; whatever it was, nothing was learned."""
    before = version(server)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx.post(server.url + path, content=content, timeout=30)
    told = response.json()["status"]
    assert 400 <= response.status_code < 500 and told["code"] == response.status_code
    assert "\n" not in told["info"] and len(told["info"]) < 600, told["info"]
    for trace in ("Traceback", 'File "', ".py", "msgspec"):
        assert trace not in response.text
    assert version(server) == before
    return response.status_code, told["info"]


def test_a_body_beyond_the_cap_is_refused_unparsed(server: Running) -> None:
    status, info = refusal(server, PREDICT, b"[" * (BODY_BYTES_MAX + 1))
    assert status == 413 and f"at most {BODY_BYTES_MAX} bytes" in info
    assert refusal(server, PREDICT, b"[" * BODY_BYTES_MAX)[0] == 400


def test_a_cap_that_is_lied_about_is_met_all_the_same(server: Running) -> None:
    """Chunks that never end, and an announced length beyond the cap of which nothing is sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=EXPECTED_S_MAX) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection((host, int(port)), timeout=EXPECTED_S_MAX) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        sent = 0
        try:
            while sent < 4 * BODY_BYTES_MAX:
                client.sendall(piece)
                sent += 65_536
            assert client.recv(100).startswith(b"HTTP/1.1 413")
        except (BrokenPipeError, ConnectionResetError):
            pass  # cut off at the cap, which is as good
    assert httpx.get(f"{server.url}/live").status_code == 200


def test_headers_beyond_the_cap_are_refused(server: Running) -> None:
    response = httpx.get(f"{server.url}/live", headers={"x-large": "x" * (3 * HEADER_BYTES_MAX)})
    assert response.status_code == 431
    assert httpx.get(f"{server.url}/live", headers={"x-large": "x" * 30_000}).status_code == 200


@pytest.mark.parametrize(
    "opening", [b"[", b'{"jsonData":', b'{"meta":{"tags":{"a":', b'{"data":{"ndarray":[']
)
def test_depth_is_bounded(server: Running, opening: bytes) -> None:
    status, info = refusal(server, PREDICT, opening * (900_000 // len(opening)))
    assert status == 400 and "expected" in info
    assert refusal(server, FEEDBACK, b'{"request":' * 80_000)[0] == 400


def test_array_length_is_bounded(server: Running) -> None:
    assert refusal(server, PREDICT, {"data": {"ndarray": [["JFK", 1]] * (ROWS_MAX + 1)}})[0] == 400
    wide = {f"f{number}": 1 for number in range(FIELDS_MAX + 1)}
    assert refusal(server, PREDICT, {"jsonData": wide}) == (
        400,
        f"expected at most {FIELDS_MAX} features, received {FIELDS_MAX + 1}",
    )
    tensor = {"shape": [1, 200_000], "values": [0] * 200_000}
    assert refusal(server, PREDICT, {"data": {"tensor": tensor}})[0] == 400


def test_string_length_is_bounded(server: Running) -> None:
    long = "x" * (STRING_LENGTH_MAX + 1)
    assert "at most 1000 characters" in refusal(server, PREDICT, {"jsonData": {"origin": long}})[1]
    assert refusal(server, PREDICT, {"jsonData": {"n" * (NAME_LENGTH_MAX + 1): 1}})[0] == 400
    assert refusal(server, FEEDBACK, feedback("p" * (ID_LENGTH_MAX + 1)))[0] == 400
    assert refusal(server, FEEDBACK, feedback("p", long))[0] == 400


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999", "1" * 400, "1e-99999999999", "0x10", "1_0"]
)
def test_numbers_are_finite(server: Running, number: str) -> None:
    if number != "1e-99999999999":  # that one is 0
        text = f'{{"jsonData":{{"origin":"JFK","distance":{number}}}}}'.encode()
        assert refusal(server, PREDICT, text)[0] in (400, 422)
    text = f'{{"request":{{"jsonData":{{"distance":{number}}}}},"truth":{{"strData":"late"}}}}'.encode()
    assert refusal(server, FEEDBACK, text)[0] in (400, 422)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"data": {"ndarray": [["JFK"]]}}, "expected 2 values in row 0"),
        ({"data": {"ndarray": [["JFK", 1], ["JFK"]]}}, "in row 1"),
        ({"data": {"ndarray": [1, 2]}}, "list of rows"),
        ({"data": {"tensor": {"shape": [2, 2], "values": [1]}}}, "expected 4 values"),
        ({"data": {"tensor": {"shape": [10**9, 10**9], "values": []}}}, "values in data.tensor"),
        ({"data": {"tensor": {"shape": [-1, -1], "values": [1]}}}, "shape"),
        ({"data": {"names": ["a"], "ndarray": [["JFK"]]}}, "a"),
        ({"data": {"names": ["origin", "origin"], "ndarray": [["JFK", 1]]}}, "again"),
        ({"jsonData": {"gate": 1}}, "gate"),
        ({"jsonData": {"distance": "far"}}, "distance"),
        ({"jsonData": {}}, "at least one"),
    ],
)
def test_shape_and_names_are_checked(server: Running, body: dict[str, Any], word: str) -> None:
    assert word in refusal(server, PREDICT, body)[1]


def test_a_client_cannot_choose_its_source_freely(server: Running) -> None:
    for client in ("a:b", "a b", "x" * 65, "../x"):
        response = httpx.post(
            server.url + FEEDBACK, json=feedback("p"), headers={"X-Client-Id": client}, timeout=30
        )
        assert (response.status_code, response.json()["status"]["reason"]) == (400, "BAD_CLIENT")


TOKENS = {"predict": "p-s3cret", "feedback": "f-s3cret", "admin": "a-s3cret"}


@pytest.fixture(scope="module")
def guarded(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A replica with tokens and a rate bound; settings from the environment."""
    folder = tmp_path_factory.mktemp("guarded")
    serve = "[serve]\nfeedback_per_second_max = 0.001\nfeedback_burst_max = 5\n"
    (folder / "model.toml").write_text(f'name = "guarded"\n{MODEL}\n{serve}')
    lines = [f"{scope} {token_digest(token)} {scope}er" for scope, token in TOKENS.items()]
    (folder / "tokens").write_text("\n".join(lines))
    environment = {"ODL_TOKENS": str(folder / "tokens"), "ODL_REDIS": valkey_url}
    with running(["--model", str(folder / "model.toml")], environment) as server:
        yield server


def ask(server: Running, path: str, body: Any = None, token: str = "", **headers: str) -> httpx.Response:
    if token:
        headers["authorization"] = f"Bearer {token}"
    method = "GET" if body is None else "POST"
    return httpx.request(method, server.url + path, json=body, headers=headers, timeout=30)


def test_scopes_are_kept_apart(guarded: Running) -> None:
    predict, learn = {"jsonData": X}, feedback("scopes-1")
    assert ask(guarded, PREDICT, predict, TOKENS["predict"]).status_code == 200
    assert ask(guarded, FEEDBACK, learn, TOKENS["feedback"]).status_code == 200
    for path, body, token in (
        (PREDICT, predict, TOKENS["feedback"]),
        (PREDICT, predict, TOKENS["admin"]),
        (FEEDBACK, learn, TOKENS["predict"]),
        ("/send-feedback", learn, TOKENS["predict"]),
    ):
        response = ask(guarded, path, body, token)
        assert (response.status_code, response.json()["status"]["reason"]) == (403, "FORBIDDEN")
    for path, body in ((PREDICT, predict), (FEEDBACK, learn), ("/predict", predict)):
        for token in ("", "wrong"):
            response = ask(guarded, path, body, token)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Bearer realm="odl"'


def test_probes_and_metrics_need_no_token_unless_the_model_file_says_so(
    guarded: Running, model_file: Path, valkey_url: str
) -> None:
    paths = ("/live", "/ready", "/health/ping", "/metrics", "/status", "/")
    assert [ask(guarded, path).status_code for path in paths] == [200] * len(paths)
    model_file.write_text(f'{model_file.read_text()}\n[serve]\nopen = ["health"]\n')
    tokens = model_file.with_name("tokens")
    tokens.write_text(f"predict {token_digest('p')}")
    arguments = ["--model", str(model_file), "--redis", valkey_url, "--tokens", str(tokens)]
    with running(arguments, {}) as closed:
        codes = [ask(closed, path).status_code for path in paths]
        assert codes == [200, 200, 200, 401, 401, 401]
        assert ask(closed, "/metrics", token="p").status_code == 200


def test_a_source_that_is_too_fast_is_told_when_to_come_back(guarded: Running) -> None:
    before = version(guarded)
    codes = []
    for number in range(12):
        name = f"burst-{number % 3}"  # which the token's own name overrules
        response = ask(
            guarded, FEEDBACK, feedback(f"burst-{number}"), TOKENS["feedback"], **{"x-client-id": name}
        )
        codes.append(response.status_code)
    assert 429 in codes and set(codes) <= {200, 429}
    assert version(guarded) - before == codes.count(200) <= 5
    assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1
    assert response.json()["status"]["reason"] == "TOO_FAST" and "rest:feedbacker" in response.text
    assert ask(guarded, PREDICT, {"jsonData": X}, TOKENS["predict"]).status_code == 200
