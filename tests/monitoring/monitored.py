"""Processes to be monitored, started and ended."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "k8s" / "monitoring"
START_S_MAX = 300.0  # the first process on a machine compiles the kernel; a test machine may be busy
DEADLINE_S = 180.0  # generous: only a failing test waits this long
MODEL = """
name = "{name}"
[model]
task = "binary"
classes = ["no", "yes"]
fields = {{ x = "number", place = "category" }}
hidden_layers = 2
width = 16
"""


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """What `condition` answers once it is true."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {deadline_s:.0f} s until {what}"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def running(arguments: list[str], pattern: str, **environment: str) -> Iterator[str]:
    """`odl` with `arguments`, until `pattern` was seen on its output; what the pattern's group matched."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "odl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    ) as process:
        try:
            yield _match(process, pattern)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _match(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            assert selector.select(START_S_MAX), "the process printed nothing"
            line = process.stdout.readline()
            assert line, "the process ended"
            if found := re.search(pattern, line):
                return found[1]


@dataclass(frozen=True)
class Deployment:
    """One replica and one consumer."""

    replica: str  # where it answers
    consumer: str  # where its metrics are

    def names(self) -> dict[str, str]:
        """Every family that is exported, with its type."""
        found: dict[str, str] = {}
        for url in (f"{self.replica}/metrics", self.consumer):
            text = httpx.get(url, timeout=30).text
            found |= dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
        return found
