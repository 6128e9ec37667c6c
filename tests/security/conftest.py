"""Replicas with secrets, certificates of an authority that nobody else trusts, and Redis that wants both."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

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


def feedback(puid: str, label: str = "late") -> dict:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


@dataclass
class Running:
    """`odl serve` in a process of its own, and all that it printed."""

    process: subprocess.Popen[str]
    url: str
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
            found.url = found.printed[-1].split(" at ")[-1].strip()
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


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    cert: Path
    key: Path
    ca: Path


@pytest.fixture(scope="session")
def issue(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Certificate]:
    """Makes a certificate for a name."""

    def make(name: str, by: trustme.CA = authority) -> Certificate:
        folder = tmp_path_factory.mktemp("certificate")
        issued = by.issue_cert(name)
        found = Certificate(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        found.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(found.key)
        by.cert_pem.write_to_path(found.ca)
        return found

    return make


@pytest.fixture
def model_file(tmp_path: Path, model_name: str) -> Path:
    """The file of a small model whose log nobody else uses."""
    path = tmp_path / "model.toml"
    path.write_text(f'name = "{model_name}"\n{MODEL}')
    return path
