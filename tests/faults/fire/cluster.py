"""A service of real processes: `odl serve`, `odl consume`, a Redis server, an embedded broker."""

import ctypes
import json
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apache_kafka import ApacheKafka

from fire.client import Rest
from fire.process import Process
from fire.redis_server import RedisServer
from fire.waiting import wait_for_count, wait_until
from odl.errors import LogMissing
from odl.event import Event, decode
from odl.log import Entry
from odl.redis_log import RedisLog
from streaming.embedded_broker import EmbeddedBroker

NAME = "fire"
TOPIC = f"{NAME}-feedback"
DEAD_TOPIC = f"{TOPIC}-dead-letters"
# As small as a network gets: what is under fire is the log.
MODEL = """name = "fire"
[model]
task = "binary"
classes = ["no", "yes"]
hidden_layers = 1
width = 2
ramps = 0
hash_bits = 2
fields = { n = "number" }
[serve]
policy = "%(policy)s"
stale_for_s = %(stale_for_s)g
snapshot_every = %(snapshot_every)d
deadline_s = %(deadline_s)g
[log]
%(log)s
"""
DEFAULTS = {"policy": "refuse", "stale_for_s": 60.0, "snapshot_every": 10_000, "deadline_s": 2.0, "log": ""}


class Broker(EmbeddedBroker):
    """The embedded broker, which can be away for a while."""

    def set_down(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_down(ctypes.c_void_p(self._cluster), 1) == 0

    def set_up(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(ctypes.c_void_p(self._cluster), 1) == 0


class Cluster:
    """Everything of one model. Use it in `with`; whatever was started is ended."""

    def __init__(
        self,
        directory: Path,
        product: str = "valkey",
        *,
        kafka: str = "embedded",
        partitions: int = 3,
        cold: bool = False,
        **settings: Any,
    ) -> None:
        """`product`: valkey or redis; `kafka`: embedded or apache; `cold`: every command in an interpreter
        of its own; `settings`: of the model files."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.product = product
        self.partitions = partitions
        self.cold = cold
        self._model = {**DEFAULTS, **settings}
        self._parts = ExitStack()
        self._count = 0
        self._processes: list[Process] = []
        self.rest = Rest()
        self._parts.callback(self.rest.close)
        self.replicas: list[Process] = []
        self.consumers: list[Process] = []
        self.redis = RedisServer(directory / "redis", product)
        self._parts.callback(self.redis.stop)
        self.broker: Broker | ApacheKafka
        if kafka == "embedded":
            self.broker = self._parts.enter_context(Broker())
        else:
            self.broker = self._parts.enter_context(ApacheKafka(directory / "kafka"))
        self.broker.create_topic(TOPIC, partitions)
        self.broker.create_topic(DEAD_TOPIC, 4)  # of each of which the broker keeps 5 MiB
        self.log = RedisLog(self.redis.client, NAME)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:  # all at once; then each is waited for
            process.ask_to_stop()
        for process in self._processes:
            process.stop()
        self._parts.close()

    def model_file(self, **settings: Any) -> Path:
        """A model file with these settings."""
        self._count += 1
        path = self.directory / f"model-{self._count}.toml"
        path.write_text(MODEL % {**self._model, **settings})
        return path

    def start(self, name: str, *arguments: str) -> Process:
        """One `odl` command, ended with the cluster."""
        self._count += 1
        log_path = self.directory / f"{self._count:03d}-{name}.log"
        process = Process(name, list(arguments), log_path, cold=self.cold)
        self._processes.append(process)
        return process

    def start_replica(self, *, redis_url: str = "", with_kafka: bool = False, **settings: Any) -> Process:
        """`odl serve`; not waited for. `with_kafka`: feedback by REST goes to Kafka first."""
        arguments = ["--model", str(self.model_file(**settings)), "--redis", redis_url or self.redis.url]
        if with_kafka:
            arguments += ["--kafka", self.broker.bootstrap]
        return self.start("replica", "serve", *arguments, "--port", "0")

    def start_replicas(self, count: int, **settings: Any) -> list[Process]:
        """Several replicas, all ready."""
        self.replicas += [self.start_replica(**settings) for _ in range(count)]
        self.wait_for_replicas()
        return self.replicas[-count:]

    def wait_for_replicas(self) -> None:
        """Until every replica serves."""
        for replica in self.replicas:
            wait_until(lambda r=replica: r.url or r.check(), "a replica serves")  # type: ignore[misc]

    def start_consumer(self, redis_url: str = "") -> Process:
        """`odl consume`; not waited for."""
        arguments = ["--model", str(self.model_file()), "--redis", redis_url or self.redis.url]
        consumer = self.start("consumer", "consume", *arguments, "--kafka", self.broker.bootstrap)
        self.consumers.append(consumer)
        return consumer

    def supervise(self) -> None:
        """Start again what has ended, as Kubernetes does: a process that finds Redis loading at its start
        says so and ends with code 2."""
        for number, replica in enumerate(self.replicas):
            if replica.has_ended():
                self.replicas[number] = self._successor(replica, self.start_replica)
        for consumer in [each for each in self.consumers if each.has_ended()]:
            self.consumers.remove(consumer)
            self._successor(consumer, self.start_consumer)

    @staticmethod
    def _successor(ended: Process, start: Callable[[], Process]) -> Process:
        assert ended.exit_code in (2, -signal.SIGKILL), f"{ended.name} ended: {ended.said()[-2000:]}"
        return start()

    # What is in the log

    def version(self) -> int:
        """Where the log ends; 0 while it is gone."""
        try:
            return self.log.head().version
        except LogMissing:
            return 0

    def events(self) -> list[Event]:
        """Everything in the log; its versions have no hole."""
        entries: list[Entry] = []
        while found := self.log.read(len(entries), 1_000).entries[1 if entries else 0 :]:
            entries += found
        assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
        return [decode(entry.payload) for entry in entries]

    def wait_for_version(self, version: int) -> None:
        wait_for_count(self.version, version, "versions of the log")

    def replay(self) -> dict[str, Any]:
        """What `odl replay` says."""
        arguments = ["--json", "--redis", self.redis.url, "--model", str(self.model_file())]
        replay = self.start("replay", "replay", *arguments)
        wait_until(replay.has_ended, "the log is folded offline")
        assert replay.exit_code == 0, replay.said()
        found: dict[str, Any] = json.loads(replay.said())
        return found
