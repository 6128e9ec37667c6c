"""Load on a server by `wrk` where it is installed, else by `client.py`, which is slower itself."""

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_parts.servers import Server, on_cores

SCRIPT = Path(__file__).with_name("post.lua")
SUBSTITUTE = Path(__file__).with_name("client.py")
ID = "@ID@"  # in a body: another id for every request
PROGRAM = "wrk" if shutil.which("wrk") else "client.py"


@dataclass(frozen=True, slots=True)
class Measured:
    """One stretch of load."""

    requests: int
    rate: float  # requests a second
    p50_ms: float
    cpu_us: float  # processor time of the serving process for each request


class Load:
    """Sends one body to one path, again and again. What is run is a process of its own."""

    def __init__(self, folder: Path, path: str, body: bytes, cores: Sequence[int]) -> None:
        """`folder`: for the body, which may hold `ID`; `cores`: where the client runs."""
        self._path = path
        self._cores = tuple(cores)
        self._file = folder / f"{path.replace('/', '-')}.json"
        self._file.write_bytes(body)
        self._turns = itertools.count()

    def on(self, server: Server, connections: int, seconds: float) -> Measured:
        """That many connections, each sending its next request when it has its answer."""
        return self.finish(server, self.start(server, connections, seconds))

    def start(self, server: Server, connections: int, seconds: float) -> "Running":
        """Begin, without waiting for the end."""
        url, prefix = server.url + self._path, f"{time.time_ns():x}-{next(self._turns)}"
        if PROGRAM == "wrk":
            command = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", "60s"]
            command += ["--duration", f"{max(round(seconds), 1)}s", "--script", str(SCRIPT), url]
            command += ["--", str(self._file), prefix]
        else:
            command = [sys.executable, str(SUBSTITUTE), url, str(self._file), prefix]
            command += [str(connections), str(seconds)]
        before = server.cpu_s()
        client = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=on_cores(self._cores)
        )
        return Running(client, before)

    def finish(self, server: Server, running: "Running") -> Measured:
        """Wait for the end. Raises `SystemExit` when a request failed: then nothing was measured."""
        lines = running.client.communicate()[0].splitlines()
        used_s = server.cpu_s() - running.cpu_s_before
        told = json.loads(lines[-1]) if running.client.returncode == 0 else {"errors": "the client failed"}
        if told["errors"] or not told["requests"]:
            raise SystemExit(f"expected every request to {server.url}{self._path} to be answered: {told}")
        requests = told["requests"]
        return Measured(requests, requests / told["seconds"], told["p50_ms"], used_s / requests * 1e6)


@dataclass(frozen=True, slots=True)
class Running:
    """Load that has begun."""

    client: "subprocess.Popen[str]"
    cpu_s_before: float  # processor time of the server until then


def in_turns(
    rounds: int, first: Callable[[], Measured], second: Callable[[], Measured]
) -> list[tuple[Measured, Measured]]:
    """Both, round by round, each round begun by the other one; after one round that does not count."""
    first(), second()
    pairs = []
    for turn in range(rounds):
        if turn % 2:
            theirs, ours = second(), first()
            pairs.append((ours, theirs))
        else:
            pairs.append((first(), second()))
    return pairs


def compared(
    name: str, pairs: list[tuple[Measured, Measured]], of: Callable[[Measured], float], goal: str = ""
) -> dict[str, float]:
    """Medians of both sides, and the median of the ratios of each round (first over second)."""
    return {
        f"{name}: ours": statistics.median(of(first) for first, _ in pairs),
        f"{name}: theirs": statistics.median(of(second) for _, second in pairs),
        f"{name}: ratio{goal}": statistics.median(of(first) / of(second) for first, second in pairs),
    }
