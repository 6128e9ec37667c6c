"""The model class under the real seldon-core-microservice answers as our server does, on the same log."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from seldon.model import OdlModel, Refused

START_S_MAX = 300.0  # it imports TensorFlow where that is installed: 10 s on an idle machine
X = {"origin": "JFK", "distance": 1400}
MODEL = """
name = "two-fronts"
[model]
task = "binary"
classes = ["on time", "late"]
fields = { origin = "category", distance = "number" }
hidden_layers = 2
width = 16
"""
GRPC_CLIENT = """
import json, sys
import grpc
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2, prediction_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1])
stub = prediction_pb2_grpc.SeldonStub(channel)
def call(method, kind, message):
    request = json_format.ParseDict(message, kind())
    return json_format.MessageToDict(method(request, wait_for_ready=True, timeout=120))
answers = []
for kind, message in json.loads(sys.argv[2]):
    if kind == "predict":
        answers.append(call(stub.Predict, prediction_pb2.SeldonMessage, message))
    else:
        answers.append(call(stub.SendFeedback, prediction_pb2.Feedback, message))
sys.stdout.write(json.dumps(answers))
"""


@dataclass(frozen=True)
class Fronts:
    """Seldon's server and ours, replicas of one log."""

    seldon: str  # base URL
    ours: str
    grpc: str  # host:port

    def both(self, path: str, message: Any, **headers: str) -> tuple[httpx.Response, httpx.Response]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        first, second = (
            httpx.post(url + path, json=message, headers=sent, timeout=30) for url in (self.seldon, self.ours)
        )
        return first, second


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group, whose group is ended."""
    with output.open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # gRPC workers of seldon-core never end by SIGTERM
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()[-2000:]
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url + "/health/status", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} was not ready in time: {output.read_text()[-2000:]}")


def settings(model: Path, redis_url: str, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    return kept | {"ODL_MODEL": str(model), "ODL_REDIS": redis_url} | changes


def microservice(http: int, metrics: int) -> list[str]:
    program = str(Path(sys.executable).parent / "seldon-core-microservice")
    ports = ["--http-port", str(http), "--metrics-port", str(metrics)]
    return [program, "seldon.model.OdlModel", "--service-type", "MODEL", "--workers", "1", *ports]


@pytest.fixture(scope="module")
def fronts(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    folder = tmp_path_factory.mktemp("fronts")
    model = folder / "model.toml"
    model.write_text(MODEL)
    http, grpc, metrics, ours = free_port(), free_port(), free_port(), free_port()
    env = settings(model, valkey_url, GRPC_WORKERS="1", PREDICTIVE_UNIT_GRPC_SERVICE_PORT=str(grpc))
    our_command = [sys.executable, "-m", "odl", "serve", "--port", str(ours)]
    with (
        running(microservice(http, metrics), env, folder / "seldon.log") as theirs,
        running(our_command, env, folder / "ours.log") as mine,
    ):
        urls = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{ours}"
        wait_until_ready(urls[0], theirs, folder / "seldon.log")
        wait_until_ready(urls[1], mine, folder / "ours.log")
        yield Fronts(*urls, f"127.0.0.1:{grpc}")


def feedback(puid: str, label: str = "late") -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


QUESTIONS: dict[str, Any] = {
    "ndarray": {"data": {"names": ["origin", "distance"], "ndarray": [["JFK", 1400], ["EWR", 200.5]]}},
    "ndarray without names": {"data": {"ndarray": [["JFK", 1400]]}},
    "tensor": {"data": {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1400, 3]}}},
    "one object": {"jsonData": X},
    "objects": {"jsonData": [X, {"origin": None}]},
    "text": {"strData": json.dumps(X)},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_both_fronts_answer_the_same(fronts: Fronts, name: str) -> None:
    theirs, ours = fronts.both("/api/v1.0/predictions", {**QUESTIONS[name], "meta": {"puid": "p"}})
    assert theirs.status_code == ours.status_code == 200
    assert theirs.json() == ours.json()
    assert theirs.json()["meta"]["puid"] == "p"


def test_feedback_by_one_front_is_known_to_the_other(fronts: Fronts) -> None:
    theirs, ours = fronts.both("/api/v1.0/feedback", feedback("known"))
    first, second = theirs.json()["meta"]["tags"], ours.json()["meta"]["tags"]
    assert (first["outcome"], second["outcome"]) == ("accepted", "duplicate")
    assert first["version"] == second["version"]
    version = fronts.both("/api/v1.0/predictions", {"jsonData": X})[0].json()["meta"]["tags"]["version"]
    assert version >= first["version"]


def test_headers_count_under_both_fronts(fronts: Fronts) -> None:
    message = {"request": {"jsonData": X}, "truth": {"data": {"ndarray": ["late"]}}}
    theirs, ours = fronts.both("/api/v1.0/feedback", message, Idempotency_Key="key-1", X_Client_Id="gate-7")
    assert theirs.json()["meta"]["puid"] == ours.json()["meta"]["puid"] == "key-1"
    assert ours.json()["meta"]["tags"]["outcome"] == "duplicate"


REFUSED: dict[str, tuple[str, Any]] = {
    "unknown field": ("predictions", {"jsonData": X, "extra": 1}),
    "no data": ("predictions", {}),
    "a list": ("predictions", [1]),
    "beyond the cap": ("predictions", {"strData": " " * (1 << 20)}),
    "both forms": ("predictions", {"jsonData": X, "strData": "x"}),
    "unknown feature": ("predictions", {"jsonData": {"gate": 1}}),
    "wrong shape": ("predictions", {"data": {"ndarray": [[1, 2, 3]]}}),
    "tensor that does not fit": (
        "predictions",
        {"data": {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1]}}},
    ),
    "no truth": ("feedback", {"request": {"jsonData": X, "meta": {"puid": "p"}}, "reward": 1}),
    "no id": ("feedback", {"request": {"jsonData": X}, "truth": {"strData": "late"}}),
    "unknown class": ("feedback", feedback("p", "early")),
    "empty feedback": ("feedback", {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_fronts_refuse_the_same_with_the_same_words(fronts: Fronts, name: str) -> None:
    path, message = REFUSED[name]
    theirs, ours = fronts.both(f"/api/v1.0/{path}", message)
    assert 400 <= theirs.status_code == ours.status_code < 500
    assert theirs.json() == ours.json()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_numbers_that_are_not_finite_are_refused_by_both(fronts: Fronts, number: str) -> None:
    row = f'{{"jsonData":{{"distance":{number}}},"meta":{{"puid":"not-finite"}}}}'
    truth = f'{{"request":{row},"truth":{{"strData":"late"}}}}'
    for path, body in (("predictions", row), ("feedback", truth)):
        for url in (fronts.seldon, fronts.ours):
            answer = httpx.post(
                f"{url}/api/v1.0/{path}",
                content=body,
                headers={"content-type": "application/json"},
                timeout=30,
            )
            assert 400 <= answer.status_code < 500, answer.text


def test_health_and_metadata(fronts: Fronts) -> None:
    health = httpx.get(fronts.seldon + "/health/status", timeout=30).json()
    assert health["jsonData"].keys() == {"version", "epoch"}
    assert httpx.get(fronts.seldon + "/metadata", timeout=30).json()["name"] == "two-fronts"


def test_grpc_answers_the_same(fronts: Fronts) -> None:
    calls = [
        ("predict", {"jsonData": X, "meta": {"puid": "p"}}),
        ("feedback", feedback("by-grpc")),
        ("feedback", feedback("by-grpc")),
        ("feedback", feedback("bad", "early")),
        ("predict", {"jsonData": {"gate": 1}}),
    ]
    command = [sys.executable, "-c", GRPC_CLIENT, fronts.grpc, json.dumps(calls)]
    expected = httpx.post(fronts.ours + "/predict", json=calls[0][1], timeout=30).json()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer, first, second, unknown_class, unknown_feature = json.loads(done.stdout)
    assert answer == expected
    assert (first["meta"]["tags"]["outcome"], second["meta"]["tags"]["outcome"]) == ("accepted", "duplicate")
    for refused in (unknown_class, unknown_feature):
        assert (refused["status"]["code"], refused["status"]["status"]) == (422, "FAILURE")


def test_it_ends_by_sigterm_without_grpc_workers(valkey_url: str, tmp_path: Path) -> None:
    model, output = tmp_path / "model.toml", tmp_path / "seldon.log"
    model.write_text(MODEL)
    http = free_port()
    env = settings(model, valkey_url, GRPC_WORKERS="0")
    with running(microservice(http, free_port()), env, output) as process:
        wait_until_ready(f"http://127.0.0.1:{http}", process, output)
        process.terminate()
        assert process.wait(60) == 0, output.read_text()[-2000:]


def test_without_settings_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODL_REDIS", raising=False)
    with pytest.raises(SystemExit, match="odl: the model file .* cannot be read"):
        OdlModel(model=str(tmp_path / "none.toml"))
    (tmp_path / "model.toml").write_text(MODEL)
    with pytest.raises(SystemExit, match="odl: expected the environment variable ODL_REDIS"):
        OdlModel(model=str(tmp_path / "model.toml"))


def test_before_it_is_loaded_it_is_not_healthy(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(MODEL)
    model = OdlModel(model=str(tmp_path / "model.toml"), redis="redis://127.0.0.1:1/0")
    with pytest.raises(Refused, match="not loaded yet") as caught:
        model.health_status_raw()
    assert caught.value.failure.status == 503
