"""The processes of the demo, all on loopback: Redis, a Kafka broker, the consumer, the replicas.

Each has its own session, so that Ctrl-C reaches the demo alone, which stops them in order; and each ends when
the demo does, however that ends.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from odl.config import Config
from odl.embedded_redis import EmbeddedRedis
from odl.errors import Unavailable
from streaming.embedded_broker import BrokerProcess

PARTITIONS = 4  # of the feedback topic, so that the consumer keeps several positions, as in life
READY_S_MAX = 120.0  # compiling the kernel on a cold cache takes most of a minute
STOP_S_MAX = 10.0  # every part promises to leave within 5
POLL_S = 0.05
LAST_LINES = 12  # of a log, shown when its process ended by itself

# Becomes the command, which ends when the demo does (prctl 1 is PR_SET_PDEATHSIG; it survives exec).
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.executable, [sys.executable, "-m", "odl", *sys.argv[2:]])
"""


class Child:
    """One `odl` subcommand as a process of its own; what it says goes to `log_path`."""

    def __init__(self, name: str, arguments: list[str], log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise `Unavailable` with the last lines of the log if the process has ended by itself."""
        code = self._process.poll()
        if code is not None:
            said = self.log_path.read_text(errors="replace").splitlines()[-LAST_LINES:]
            told = "\n  ".join(said) or "(it said nothing)"
            raise Unavailable(f"{self.name} ended by itself with code {code}; {self.log_path}:\n  {told}")

    def wait_for(self, pattern: str) -> str:
        """The first group of `pattern` in the log, once it is there. Raises `Unavailable`."""
        deadline = time.monotonic() + READY_S_MAX
        while True:
            found = re.search(pattern, self.log_path.read_text(errors="replace"))
            if found:
                return found[1]
            self.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.name} was not ready in {READY_S_MAX:.0f} s: see {self.log_path}")
            time.sleep(POLL_S)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait for the end that was asked for, and no longer than it may take."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Servers:
    """What is running, and where."""

    redis_url: str
    brokers: str
    replica_urls: list[str]
    children: list[Child]  # the consumer, then the replicas
    broker: BrokerProcess

    def check(self) -> None:
        """Raise `Unavailable` if any process has ended by itself. Safe to call from several threads."""
        if not self.broker.is_alive():
            raise Unavailable("the embedded Kafka broker ended by itself: run the demo again to continue")
        for child in self.children:
            child.check()


@contextmanager
def running(
    config: Config, model_file: Path, directory: Path, *, replicas: int, port: int
) -> Iterator[Servers]:
    """All processes, from when they are ready until the end of the block. `port`: of the first replica, the
    others follow; 0 takes free ones. Raises `Unavailable` or `Misconfigured`, leaving nothing running."""
    logs = directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    topics = {config.kafka.topic: PARTITIONS, config.kafka.dead_letter_topic: 1}
    with ExitStack() as parts:
        # Kafka has acknowledged feedback before Redis does, so Redis may write to disk once a second.
        redis = parts.enter_context(EmbeddedRedis(directory / "redis", appendfsync="everysec"))
        broker = parts.enter_context(BrokerProcess(topics))
        common = ["--model", str(model_file), "--redis", redis.url, "--kafka", broker.bootstrap]
        children: list[Child] = []

        def start(name: str, log: str, arguments: list[str]) -> Child:
            child = Child(name, arguments, logs / log)
            children.append(child)
            parts.callback(child.stop)
            return child

        consumer = start("the consumer", "consumer.log", ["consume", *common])
        serving = []
        for number in range(1, replicas + 1):
            own_port = str(port + number - 1 if port else 0)
            arguments = ["serve", *common, "--port", own_port]
            serving.append(start(f"replica {number}", f"replica-{number}.log", arguments))
        parts.callback(_ask_to_stop, children)  # all at once; then each is waited for
        consumer.wait_for(r"(consuming )")
        urls = [replica.wait_for(r" at (http://\S+)\n") for replica in serving]
        yield Servers(redis.url, broker.bootstrap, urls, children, broker)


def _ask_to_stop(children: list[Child]) -> None:
    for child in children:
        child.ask_to_stop()
