"""`odl serve` in a process of its own, with the settings that a test gives it."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

START_S_MAX = 300.0  # the first process on a machine compiles the kernel
STOP_S_MAX = 30.0
MODEL = """
[model]
task = "binary"
classes = ["on time", "late"]
fields = { origin = "category", distance = "number" }
hidden_layers = 1
width = 16
"""
X = {"origin": "JFK", "distance": 1400}


def feedback(puid: str, label: str = "late") -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


@dataclass
class Running:
    """`odl serve` in a process of its own, and all that it printed."""

    process: subprocess.Popen[str]
    url: str
    url_line: str = ""  # which says where it serves
    printed: list[str] = field(default_factory=list)  # complete once `stop` returned


@contextlib.contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Iterator[Running]:
    """`odl serve` with these settings and no others; ended whatever happens."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    with subprocess.Popen(
        [sys.executable, "-m", "odl", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=base | environment,
    ) as process:
        assert process.stdout is not None
        found = Running(process, "")
        reader = None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while " at http" not in (found.printed or [""])[-1]:
                    assert selector.select(START_S_MAX), "the server printed nothing"
                    line = process.stdout.readline()
                    assert line, f"the server ended: {found.printed}"
                    found.printed.append(line)
            found.url_line = found.printed[-1]
            found.url = found.url_line.split(" at ")[-1].strip()
            reader = threading.Thread(target=lambda: found.printed.extend(process.stdout), daemon=True)
            reader.start()
            yield found
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if reader is not None:
                reader.join()
