"""`odl up`: an embedded Redis-compatible server and an embedded Kafka broker, for local use.

The addresses are written to `DIR/env` as `export` lines. Redis keeps its data in DIR (fsync on every write);
the broker's log lives in memory and is gone when it stops. odl survives that: positions are keyed by broker.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from rich.console import Console

from odl.embedded_redis import EmbeddedRedis
from odl.errors import Misconfigured, Unavailable

START_S_MAX = 30.0  # both start within a second; a slow disk may need more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl up`."""
    parser.add_argument("--dir", type=Path, default=Path(".odl/up"), help="data directory (.odl/up)")
    parser.add_argument("--redis-port", type=int, default=0, help="port of Redis (0: a free one)")
    parser.add_argument(
        "--background", action="store_true", help="return when both are ready; `odl down` stops them"
    )


def run(args: argparse.Namespace) -> int:
    """Keep both running until Ctrl-C or SIGTERM, or start them in the background."""
    return start_background(args) if args.background else keep_running(args)


def keep_running(args: argparse.Namespace) -> int:
    """Start both, say where they are, wait for a signal, stop both."""
    from streaming.embedded_broker import BrokerProcess

    console = Console(stderr=True)
    directory: Path = args.dir
    directory.mkdir(parents=True, exist_ok=True)
    refuse_second(directory)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with EmbeddedRedis(directory / "redis", port=args.redis_port) as redis, BrokerProcess() as broker:
        (directory / "pid").write_text(str(os.getpid()))
        env = f"export ODL_REDIS={redis.url} ODL_KAFKA={broker.bootstrap}\n"
        (directory / "env").write_text(env)
        console.print(
            f"Redis {redis.url} and Kafka {broker.bootstrap} are ready. Ctrl-C stops them.", highlight=False
        )
        console.print(f"In other terminals: [bold]source {directory}/env[/bold]", highlight=False)
        while not stopped.wait(0.5):
            if not broker.is_alive():
                raise Unavailable("the embedded broker ended by itself; start `odl up` again")
    for name in ("env", "pid"):
        (directory / name).unlink(missing_ok=True)
    return 0


def start_background(args: argparse.Namespace) -> int:
    """Run `odl up` as a process of its own and return when the addresses are known."""
    directory: Path = args.dir
    directory.mkdir(parents=True, exist_ok=True)
    refuse_second(directory)
    (directory / "env").unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "odl",
        "up",
        "--dir",
        str(directory),
        "--redis-port",
        str(args.redis_port),
    ]
    with (directory / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    deadline = time.monotonic() + START_S_MAX
    while not (directory / "env").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise Unavailable(f"`odl up` did not start: {(directory / 'up.log').read_text().strip()[-400:]}")
        time.sleep(0.05)
    Console().print(f"Redis and Kafka are running. Now: [bold]source {directory}/env[/bold]", highlight=False)
    return 0


def refuse_second(directory: Path) -> None:
    """Two servers on one data directory would destroy it."""
    pid = running_pid(directory)
    if pid is not None:
        raise Misconfigured(
            f"`odl up` is running already with {directory} (pid {pid}): stop it with `odl down`"
        )


def running_pid(directory: Path) -> int | None:
    """The process that serves `directory` now, None if there is none."""
    try:
        pid = int((directory / "pid").read_text())
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    return pid
