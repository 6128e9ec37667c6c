"""An embedded Kafka broker for demos, local use and tests: librdkafka's own mock cluster.

It speaks the real protocol (produce, fetch, consumer groups, idempotent producers) on a loopback port, so
any Kafka client of any process can use it. What it is not:

- The log lives in memory: everything is gone when the broker stops. Another start is another cluster with
  other topic ids, which is how consumers know that they start anew.
- A partition keeps its newest 5 MiB; a consumer that lags further is told that its position is out of range.
- The port is picked free by the library and cannot be chosen, so the address is written to a file.
- One broker, no replication, no TLS, no topic administration from outside: pass the topics at start.
  A topic that a client asks for and that does not exist is created with 4 partitions.

`python -m streaming.embedded_broker --address-file FILE --topic feedback:4` runs one until SIGTERM or SIGINT.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import cimpl

from odl.errors import Misconfigured, Unavailable

BROKER_ID = 1
PARTITIONS_MAX = 1_000
START_TIMEOUT_S = 20.0  # a cold Python start on a busy machine takes a few seconds
STOP_TIMEOUT_S = 5.0

_RD_KAFKA_PRODUCER = 0  # rd_kafka_type_t
_QUIET = b"3"  # syslog level: errors only

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (
        ctypes.c_void_p,
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_set_controller_id": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
}


def load_library() -> ctypes.CDLL:
    """librdkafka, as confluent_kafka bundles it."""
    # Symbols are found through the extension that links it.
    library = ctypes.CDLL(cimpl.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class EmbeddedBroker:
    """A broker inside this process, listening on a free loopback port from construction until `close`.

    `topics` maps names to partition counts. Use it as a context manager; `bootstrap` is its address.
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._library = load_library()
        error = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", _QUIET, error, len(error))
        self._client = self._library.rd_kafka_new(_RD_KAFKA_PRODUCER, settings, error, len(error))
        if not self._client:
            raise Unavailable(f"the embedded Kafka broker did not start: {error.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._client)
            raise Unavailable("the embedded Kafka broker did not start: no loopback port could be bound")
        # Without a controller clients cannot describe topics; the delay is for large groups only.
        self._library.rd_kafka_mock_set_controller_id(self._cluster, BROKER_ID)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for name, partitions in (topics or {}).items():
            self.create_topic(name, partitions)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create an empty topic. Raises `Misconfigured` if it exists or the count is out of bounds."""
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise Misconfigured(
                f"expected 1 to {PARTITIONS_MAX} partitions for '{name}', received {partitions}"
            )
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code:
            raise Misconfigured(f"topic '{name}' could not be created (error {code}): does it exist already?")

    def close(self) -> None:
        """Stop listening and forget everything. May be called twice."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BrokerProcess:
    """An embedded broker in a process of its own, which also ends when this process ends, however it does."""

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        with tempfile.TemporaryDirectory(prefix="odl-kafka-") as folder:
            address_file = Path(folder) / "address"
            command = [sys.executable, "-m", "streaming.embedded_broker", "--until-stdin-closes"]
            command += ["--address-file", str(address_file)]
            for name, partitions in (topics or {}).items():
                command += ["--topic", f"{name}:{partitions}"]
            # Its own session: Ctrl-C in a terminal reaches the parent only, which stops it in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
            self.pid = self._process.pid
            try:
                self.bootstrap = self._wait_for(address_file)
            except Unavailable:
                self.close()
                raise

    def _wait_for(self, address_file: Path) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not address_file.exists():
            if self._process.poll() is not None:
                raise Unavailable(
                    f"the embedded Kafka broker ended at start, exit {self._process.returncode}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(f"the embedded Kafka broker gave no address within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.02)
        return address_file.read_text().strip()

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Stop the process and wait for its end. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_topic(text: str) -> tuple[str, int]:
    """`NAME:PARTITIONS` or `NAME` (one partition) as given on the command line.

    >>> parse_topic("feedback:4")
    ('feedback', 4)
    """
    name, _, partitions = text.partition(":")
    if not name or not (partitions or "1").isdecimal():
        raise argparse.ArgumentTypeError(f"expected NAME:PARTITIONS such as feedback:4, received '{text}'")
    return name, int(partitions or "1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or SIGINT; the address goes to the file, or to standard output."""
    parser = argparse.ArgumentParser(prog="python -m streaming.embedded_broker", description=main.__doc__)
    parser.add_argument("--address-file", type=Path, help="where to write host:port (else standard output)")
    parser.add_argument("--topic", type=parse_topic, action="append", default=[], metavar="NAME:PARTITIONS")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="also end when standard input is closed"
    )
    options = parser.parse_args(arguments)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    if options.until_stdin_closes:
        threading.Thread(target=_await_end_of_stdin, args=(ending,), daemon=True).start()
    with EmbeddedBroker(dict(options.topic)) as broker:
        if options.address_file is None:
            sys.stdout.write(f"{broker.bootstrap}\n")
            sys.stdout.flush()
        else:  # renamed into place, so that a reader never sees half an address
            draft = options.address_file.with_name(f"{options.address_file.name}.{os.getpid()}")
            draft.write_text(f"{broker.bootstrap}\n")
            draft.replace(options.address_file)
        ending.wait()
    return 0


def _await_end_of_stdin(ending: threading.Event) -> None:
    while os.read(0, 4096):  # unbuffered: no lock is held when the interpreter ends
        pass
    ending.set()


if __name__ == "__main__":
    sys.exit(main())
