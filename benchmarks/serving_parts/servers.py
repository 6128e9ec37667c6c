"""The servers under load: one replica by `odl serve`, and seldon-core's own around a class of ours."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving_parts.cores import SERVER

START_S_MAX = 300.0  # seldon-core imports TensorFlow where that is installed
POLL_S = 0.05
ROOT = Path(__file__).parents[2]
ON_PATH = {"PYTHONPATH": str(ROOT)}  # where an interpreter without this project installed finds it
FEATURES = tuple(f"f{number}" for number in range(28))
# The paper's network: 20 hidden layers of 100 units.
MODEL = f"""
name = "serving"
[model]
preset = "paper"
task = "binary"
classes = ["0", "1"]
hidden_layers = 20
width = 100
fields = {{ {", ".join(f'{name} = "number"' for name in FEATURES)} }}
[serve]
deadline_s = 60.0
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    url: str
    pid: int  # of the process that answers, which on seldon-core's side is gunicorn's worker

    def cpu_s(self) -> float:
        """Processor time that the process has used, in seconds, to the nanosecond."""
        return time.clock_gettime((~self.pid << 3) | 2)  # Linux: the scheduler's clock of that process

    def memory_mb(self) -> float:
        """Resident memory of the process, in 10^6 bytes."""
        return float(psutil.Process(self.pid).memory_info().rss) / 1e6


def on_cores(cores: Sequence[int]) -> Callable[[], None]:
    """For `preexec_fn` of a process: with all its threads and children it stays on these cores."""
    return lambda: os.sched_setaffinity(0, cores)


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep the threads that a process has on these cores, and those that they start."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)


@contextlib.contextmanager
def ours(
    folder: Path,
    redis_url: str,
    cores: Sequence[int] = SERVER,
    name: str = "ours",
    python: str = sys.executable,
) -> Iterator[Server]:
    """One replica of the 20 x 100 network with the head check: as `odl serve` runs it. `python`: the
    interpreter whose packages it uses."""
    model = folder / "model.toml"
    model.write_text(MODEL)
    port = free_port()
    command = [python, "-m", "odl", "serve", "--model", str(model), "--redis", redis_url]
    with running([*command, "--port", str(port)], folder / f"{name}.log", ON_PATH, cores) as process:
        url = f"http://127.0.0.1:{port}"
        until_answered(f"{url}/ready", process, folder / f"{name}.log")
        yield Server(url, process.pid)


@contextlib.contextmanager
def theirs(folder: Path, model: str, cores: Sequence[int] = SERVER) -> Iterator[Server]:
    """`seldon-core-microservice` as it is, one worker, around a class of `serving_parts.hosted`."""
    port, metrics = free_port(), free_port()
    program = str(Path(sys.executable).parent / "seldon-core-microservice")
    command = [program, f"serving_parts.hosted.{model}", "--service-type", "MODEL", "--workers", "1"]
    command += ["--http-port", str(port), "--metrics-port", str(metrics), "--log-level", "ERROR"]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    extra = {
        "PYTHONPATH": path,
        "GRPC_WORKERS": "0",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(free_port()),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    output = folder / f"{model}.log"
    with running(command, output, extra, cores) as process:
        url = f"http://127.0.0.1:{port}"
        until_answered(f"{url}/health/status", process, output)
        reply = post(f"{url}/api/v1.0/predictions", predict_body())
        pid = int(json.loads(reply)["meta"]["tags"]["pid"])  # said by the model that is hosted
        yield Server(url, pid)


def predict_body() -> bytes:
    """The payload of every prediction: one row of 28 numbers with names, about 0.6 KB."""
    row = [round(0.137 * number - 1.7, 3) for number in range(len(FEATURES))]
    return json.dumps({"data": {"names": list(FEATURES), "ndarray": [row]}}).encode()


def feedback_body(event_id: str) -> bytes:
    """The payload of every feedback: the same row, its truth, its id."""
    request = {**json.loads(predict_body()), "meta": {"puid": event_id}}
    return json.dumps({"request": request, "truth": {"data": {"ndarray": ["1"]}}, "reward": 1.0}).encode()


def post(url: str, body: bytes) -> bytes:
    """The answer to a message. Raises `OSError`."""
    sent = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=60) as reply:
        return bytes(reply.read())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], output: Path, extra: dict[str, str], cores: Sequence[int]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own group, whose group is ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=kept | extra,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=on_cores(cores),
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until_ready(output: Path, process: "subprocess.Popen[bytes]") -> str:
    """The address that a server prints when it answers."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"at (http://\S+)\n", output.read_text())
        if found:
            return found[1]
        time.sleep(POLL_S)
    raise SystemExit(f"a server did not start: {output.read_text()[-2000:]}")


def until_answered(url: str, process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Wait until a GET is answered 200."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with code {process.returncode}: {output.read_text()[-2000:]}")
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(POLL_S)
    raise SystemExit(f"{url} was not ready in {START_S_MAX:.0f} s: {output.read_text()[-2000:]}")
