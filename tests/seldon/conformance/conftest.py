"""Two fronts on one log: the model class under the real seldon-core-microservice, and our server."""

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
collect_ignore = ["seldon_clients.py"]  # a program, which imports what tests must not
CLIENTS = Path(__file__).with_name("seldon_clients.py")


@dataclass(frozen=True)
class Fronts:
    """Seldon's server and ours, replicas of one log."""

    seldon: str  # base URL
    ours: str
    seldon_grpc: str  # host:port
    ours_grpc: str

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


@pytest.fixture(scope="session")
def fronts(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    folder = tmp_path_factory.mktemp("fronts")
    model = folder / "model.toml"
    model.write_text(MODEL)
    http, grpc, metrics, ours, ours_grpc = (free_port() for _ in range(5))
    env = settings(model, valkey_url, GRPC_WORKERS="1", PREDICTIVE_UNIT_GRPC_SERVICE_PORT=str(grpc))
    our_command = [sys.executable, "-m", "odl", "serve", "--port", str(ours), "--grpc-port", str(ours_grpc)]
    with (
        running(microservice(http, metrics), env, folder / "seldon.log") as theirs,
        running(our_command, env, folder / "ours.log") as mine,
    ):
        urls = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{ours}"
        wait_until_ready(urls[0], theirs, folder / "seldon.log")
        wait_until_ready(urls[1], mine, folder / "ours.log")
        yield Fronts(*urls, f"127.0.0.1:{grpc}", f"127.0.0.1:{ours_grpc}")


@pytest.fixture(scope="session")
def answers(fronts: Fronts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Seldon's clients were answered by both fronts, in one run of `seldon_clients.py`."""
    contract = tmp_path_factory.mktemp("clients") / "contract.json"
    contract.write_text(httpx.get(fronts.ours + "/contract.json", timeout=30).text)
    spec = {
        "contract": str(contract),
        "rest": {
            "theirs": fronts.seldon.removeprefix("http://"),
            "ours": fronts.ours.removeprefix("http://"),
        },
        "grpc": {"theirs": fronts.seldon_grpc, "ours": fronts.ours_grpc},
        "names": list(X),
        "row": list(X.values()),
    }
    command = [sys.executable, str(CLIENTS), json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def seldon_alone(valkey_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Seldon's server by itself, without gRPC workers, ready."""
    model, output = tmp_path / "model.toml", tmp_path / "seldon.log"
    model.write_text(MODEL)
    http = free_port()
    with running(
        microservice(http, free_port()), settings(model, valkey_url, GRPC_WORKERS="0"), output
    ) as process:
        wait_until_ready(f"http://127.0.0.1:{http}", process, output)
        yield process
