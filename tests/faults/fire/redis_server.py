"""A Redis server that a test may kill, rewind or misconfigure: Valkey, or Debian's redis-server."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from odl.embedded_redis import _LAUNCH, _binary
from odl.redis_connection import connect

READY_S_MAX = 60.0
AOF = "appendonlydir"


def binary_of(product: str) -> str | None:
    """The executable of `valkey` or `redis`; None where it is not installed."""
    return str(_binary()) if product == "valkey" else shutil.which("redis-server")


class RedisServer:
    """A server on a port of its own, its data in `directory`; `start` it again after `kill`."""

    def __init__(self, directory: Path, product: str = "valkey", **settings: str) -> None:
        binary = binary_of(product)
        assert binary, f"{product} is not installed here"
        self._binary = binary
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.client = connect(self.url, timeout_s=5.0)
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers. From the main thread: it ends with the one that started it."""
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = [text for name, value in self.settings.items() for text in (f"--{name}", value)]
        with (self.directory / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _LAUNCH, str(os.getpid()), self._binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            assert process.poll() is None, f"the server ended: see {self.directory / 'server.log'}"
            with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                info = self.client.info()  # a stranger may answer on a port that ours could not bind
                if info["process_id"] == process.pid and not info["loading"]:
                    return process
            time.sleep(0.01)
        process.kill()
        raise AssertionError(f"the server was not ready in {READY_S_MAX:.0f} s")

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[redis.Redis]:
        """The same data for a moment on another port, which nobody else knows. While killed."""
        port, client = self.port, self.client
        self.port = free_port()
        self.settings["port"] = str(self.port)
        self.client = connect(self.url, timeout_s=5.0)
        try:
            self.start()
            yield self.client
        finally:
            self.stop()
            self.port, self.client = port, client
            self.settings["port"] = str(port)

    def pause(self) -> None:
        """SIGSTOP: it answers nobody, its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """kill -9, as a power cut that the disk survives."""
        self._process.kill()
        self._process.wait()
        self.client.connection_pool.disconnect()

    def stop(self) -> None:
        """End it. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # if it was paused
            self._process.wait(READY_S_MAX)
        self.client.close()

    def cut(self, size_bytes: int) -> None:
        """Remove the last bytes of the append-only file, as a disk that lied does. While killed."""
        newest = max((self.directory / AOF).glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
        with newest.open("r+b") as file:
            file.truncate(max(0, newest.stat().st_size - size_bytes))

    def backup(self, to: Path) -> None:
        """Copy the data as it is on disk now, as a nightly job does."""
        shutil.copytree(self.directory / AOF, to)

    def restore(self, backup: Path) -> None:
        """Put a backup in the place of the data. While killed."""
        shutil.rmtree(self.directory / AOF)
        shutil.copytree(backup, self.directory / AOF)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
