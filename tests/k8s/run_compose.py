"""Runs what docker-compose.yml runs on this machine, without Docker: what the test of it runs.

unshare --net --mount -- python tests/k8s/run_compose.py DIRECTORY

Every service gets an address of its own under its name, and the command, environment and health check of the
file; replaced are programs and folders of images. Feedback then goes by one replica, Kafka and the consumer
to the log, and the other replica learns it. Topics are those that the file makes; Grafana is not run.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import machine
import redis
import yaml
from cluster import DEADLINE_S, INHERITED, wait_until
from confluent_kafka.admin import AdminClient, NewTopic
from machine import Machine, Node, end, launch
from overlays import ROOT

from odl.embedded_redis import _binary
from odl.redis_connection import check_server, connect

sys.path.insert(0, str(ROOT / "tests" / "faults"))
import apache_kafka

FOLDER = ROOT / "k8s" / "compose"
PYTHON = "/opt/odl/bin/python"  # in our images
EVENTS = 20


def missing() -> str:
    """What keeps all this from running here; empty if nothing does."""
    if reason := apache_kafka.missing() or machine.missing():
        return str(reason)
    probe = machine.unshared("unshare", "--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts")
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60)
    return f"no file can be bound over another here: {done.stderr.strip()}" if done.returncode else ""


class Composition:
    """The services of the file, each in a network namespace of its own."""

    def __init__(self, directory: Path, parts: ExitStack) -> None:
        text = (FOLDER / "docker-compose.yml").read_text()
        self.services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
        self.directory = directory
        self._parts = parts
        own = parts.enter_context(Machine(directory))
        self.nodes: dict[str, Node] = {name: own.node() for name in self.services}
        hosts = directory / "hosts"
        lines = [f"{node.address} {name}" for name, node in self.nodes.items()]
        hosts.write_text("\n".join([f"127.0.0.1 localhost {socket.gethostname()}", *lines, ""]))
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True, timeout=60)

    def _environment(self, name: str) -> dict[str, str]:
        service = self.services[name]
        mounted = {}
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            mounted[target] = str((FOLDER / source).resolve())
        given = {key: mounted.get(value, value) for key, value in service["environment"].items()}
        return {key: os.environ[key] for key in INHERITED if key in os.environ} | given

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """A service's process, at the service's address."""
        process = launch(
            [*self.nodes[name].enter, *command],
            self.directory / f"{name}.log",
            environment or dict(os.environ),
        )
        self._parts.callback(end, process)

    def start_redis(self) -> None:
        """Valkey with the file's settings; replicas accept it."""
        program, *settings = self.services["redis"]["command"]
        assert program == "valkey-server"
        (self.directory / "redis").mkdir()
        self.start("redis", [str(_binary()), *settings, "--dir", str(self.directory / "redis")])
        client = self._parts.enter_context(closing(connect("redis://redis:6379/0")))
        wait_until(lambda: answers(client.ping), "Redis answers")
        check_server(client, require_fsync_always=True)

    def start_kafka(self) -> None:
        """Apache Kafka with the settings that its image makes of the file's environment, and its topics."""
        given = {
            key.removeprefix("KAFKA_").lower().replace("_", "."): value
            for key, value in self.services["kafka"]["environment"].items()
        }
        given["log.dirs"] = str(self.directory / "kafka")
        settings = self.directory / "server.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
        java = list(apache_kafka.JAVA)
        form = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "odl-composition-00001A",
            "-c",
            str(settings),
        ]
        subprocess.run(form, check=True, capture_output=True, timeout=DEADLINE_S)
        self.start("kafka", [*java, "kafka.Kafka", str(settings)])
        admin = AdminClient({"bootstrap.servers": "kafka:9092", "log_level": 0})
        (listed,) = re.findall(r"for topic in (.*); do", self.services["topics"]["command"][-1])
        pairs = [each.split(":") for each in listed.split()]
        topics = [NewTopic(topic, int(partitions), 1) for topic, partitions in pairs]
        for made in admin.create_topics(topics, operation_timeout=60, request_timeout=DEADLINE_S).values():
            made.result(DEADLINE_S)

    def start_ours(self, name: str) -> None:
        """`odl` with the file's command."""
        command = [sys.executable, "-m", "odl", *self.services[name]["command"]]
        self.start(name, command, self._environment(name))

    def wait_until_healthy(self, name: str) -> None:
        """By the file's own health check, at the service's own address."""
        kind, program, *arguments = self.services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", PYTHON)
        check = [*self.nodes[name].enter, sys.executable, *arguments]
        wait_until(
            lambda: (
                not subprocess.run(check, check=False, capture_output=True, timeout=DEADLINE_S).returncode
            ),
            f"{name} is healthy: see {self.directory / name}.log",
        )

    def scraped(self) -> dict[str, str]:
        """What Prometheus says of its targets; nothing where it is not installed."""
        if shutil.which("prometheus") is None:
            return {}
        _, _, *options = self.services["prometheus"]["command"]
        config = f"--config.file={FOLDER / 'prometheus.yml'}"
        data = f"--storage.tsdb.path={self.directory / 'prometheus'}"
        self.start("prometheus", ["prometheus", config, data, *options])
        url = "http://prometheus:9090/api/v1/targets"
        found: dict[str, str] = {}

        def all_are_up() -> bool:
            for each in ask(url)["data"]["activeTargets"]:
                found[each["labels"]["instance"]] = each["health"]
            return len(found) == 3 and set(found.values()) == {"up"}

        wait_until(lambda: answers(all_are_up), "Prometheus has scraped everybody")
        return found


def answers(question: Callable[[], object]) -> object:
    """What somebody answers who may not be there yet."""
    try:
        return question()
    except (OSError, redis.exceptions.ConnectionError):
        return None


def ask(url: str, body: object = None) -> Any:
    """JSON by GET, or by POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


def play(directory: Path) -> dict[str, Any]:
    """Everything in the order that the file asks for; what came of it."""
    with ExitStack() as parts:
        composition = Composition(directory, parts)
        composition.start_redis()
        composition.start_kafka()
        ours = [name for name, each in composition.services.items() if "odl-server" in each["image"]]
        for name in ours:
            composition.start_ours(name)
        for name in ours:
            composition.wait_until_healthy(name)
        for number in range(EVENTS):
            request = {
                "meta": {"puid": f"event-{number}"},
                "data": {"names": ["a"], "ndarray": [[number % 5]]},
            }
            feedback = {"request": request, "truth": {"strData": "late" if number % 5 > 2 else "on time"}}
            ask("http://replica-1:9000/api/v1.0/feedback", feedback)
        status = "http://replica-2:9000/status"
        wait_until(lambda: ask(status)["version"] == EVENTS, "the other replica has learned all feedback")
        digests: set[str] = set()

        def are_one() -> bool:
            digests.clear()
            digests.update(ask(f"http://replica-{number}:9000/status")["digest"] for number in (1, 2))
            return len(digests) == 1

        wait_until(are_one, "both replicas have the same digest")
        (digest,) = digests
        return {"version": EVENTS, "digest": digest, "healthy": ours, "scraped": composition.scraped()}


def main() -> int:
    directory = Path(sys.argv[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    print(json.dumps(play(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
