"""A cluster on one machine: what the overlay `plain` runs, as processes with addresses of their own.

Commands, environment, settings and probes are those of the manifests; replaced are host names and the folders
where volumes are mounted.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from machine import READY_S_MAX, Forwarder, Machine, Node, end, launch
from overlays import Overlay, Pod, Resource, build

from odl.config import parse_config
from odl.embedded_redis import _binary
from odl.event import decode
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from streaming.embedded_broker import BrokerProcess

ADMIN, SERVICE, TOKEN = "admin-secret", "service-secret", "client-token"
DEADLINE_S = 240.0  # generous: only a broken promise waits this long
PRE_STOP_S = 5.0  # of the pod's grace; the process has the rest
OTHER_FOLD = "hidden_layers = 1\nwidth = 4\n"
INHERITED = ("PATH", "HOME", "PYTHONPATH", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "TMPDIR", "LANG")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s in vain until {what}"
        time.sleep(0.05)


@dataclass
class Running:
    """One pod's process."""

    pod: Pod
    node: Node
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        (port,) = (
            each["containerPort"] for each in self.pod.containers[0]["ports"] if each["name"] == "http"
        )
        return f"http://{self.node.address}:{port}"

    def probe(self, name: str) -> bool:
        """What the kubelet would see."""
        assert self.process.poll() is None, f"{self.log}: ended: {self.log.read_text()[-2000:]}"
        try:
            path = self.pod.containers[0][name]["httpGet"]["path"]
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # not there yet, or it says that it is not ready
            return False


class Cluster:
    """Everything of one overlay on one machine."""

    def __init__(self, directory: Path, parts: ExitStack) -> None:
        self.directory = directory
        self._parts = parts
        self.overlay: Overlay = build("plain")
        self.pods = {pod.owner: pod for pod in self.overlay.pods()}
        self.model_text = self.overlay.named("ConfigMap", "odl-model")["data"]["model.toml"]
        self.config = parse_config(self.model_text)
        self.replicas: list[Running] = []
        self.consumers: list[Running] = []
        self._count = 0
        self.machine = parts.enter_context(Machine(directory))
        topics = {self.config.kafka.topic: 3, self.config.kafka.dead_letter_topic: 1}
        self.broker = parts.enter_context(BrokerProcess(topics))
        self._forwarder = Forwarder(int(self.broker.bootstrap.rpartition(":")[2]))
        parts.callback(self._forwarder.stop)
        self._replaced = {urlsplit(f"//{self._variable('ODL_KAFKA')}").netloc: self.broker.bootstrap}
        self.model_file = self._mount("/etc/odl", "model.toml", self.model_text)
        self._mount("/etc/odl-redis", "password", SERVICE)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        self._mount("/etc/odl-tokens", "tokens", f"predict,feedback {digest} shop\n")
        self.nodes = [self._new_node() for _ in range(3)]
        self._start_redis()

    def _variable(self, name: str) -> str:
        return str(self.overlay.named("ConfigMap", "odl-environment")["data"][name])

    def _new_node(self) -> Node:
        node = self.machine.node()
        self._forwarder.serve(node)
        return node

    def _mount(self, folder: str, name: str, text: str) -> Path:
        """A file where a volume puts it, under the test's directory."""
        path = self.directory / "root" / folder.lstrip("/") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._replaced[f"{folder}/"] = f"{path.parent}/"
        return path

    def _here(self, text: str) -> str:
        for there, here in self._replaced.items():
            text = text.replace(there, here)
        return text

    def _start_redis(self) -> None:
        """With the manifest's settings; users as docs/KUBERNETES.md makes them, functions as the job."""
        pod, node = self.pods["StatefulSet/odl-redis"], self.machine.node()
        password = self.directory / "root/etc/odl-redis/password"
        rights = self.odl("rights", "--acl", "--password-file", str(password), environment={})
        users = f"user default off\nuser admin on >{ADMIN} ~* &* +@all\n{rights}"
        self._mount("/etc/valkey-acl", "users.acl", users)
        (self.directory / "data").mkdir()
        settings = self.overlay.named("ConfigMap", "odl-redis")["data"]["valkey.conf"]
        settings = self._here(settings).replace("dir /data", f"dir {self.directory / 'data'}")
        self._mount("/etc/valkey", "valkey.conf", settings)
        _, *arguments = pod.containers[0]["command"]
        arguments += pod.containers[0]["args"]
        command = [*node.enter, str(_binary()), *map(self._here, arguments)]
        process = launch(command, self.directory / "redis.log")
        self._parts.callback(end, process)
        port = pod.containers[0]["ports"][0]["containerPort"]
        self._replaced[f"odl-redis:{port}"] = f"{node.address}:{port}"
        self.admin = self._parts.enter_context(
            closing(connect(f"redis://admin:{ADMIN}@{node.address}:{port}/0"))
        )
        wait_until(lambda: self._is_there(process), "Redis answers")
        self.admin.execute_command(
            "FUNCTION", "LOAD", "REPLACE", self.odl("rights", "--functions", environment={})
        )
        self.log = RedisLog(self.admin, self.config.name)

    def _is_there(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, (self.directory / "redis.log").read_text()[-2000:]
        try:
            return bool(self.admin.ping())
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            return False

    def environment(self, pod: Pod) -> dict[str, str]:
        """What the pod's container finds, with this machine's addresses and folders."""
        container: Resource = pod.containers[0]
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            found |= self.overlay.one("ConfigMap", source["configMapRef"]["name"])["data"]
        found |= {each["name"]: each["value"] for each in container.get("env", [])}
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return inherited | {name: self._here(value) for name, value in found.items()}

    def odl(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """What one `odl` command prints, in the environment of the replicas unless said otherwise."""
        pod = self.pods["Deployment/odl-replica"]
        chosen = (
            self.environment(pod)
            if environment is None
            else {**os.environ, "ODL_MODEL": str(self.model_file)}
        )
        command = [sys.executable, "-m", "odl", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=chosen
        )
        assert done.returncode == 0, f"odl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def start(self, owner: str, node: Node, model: str = "") -> Running:
        """A pod of this workload on a node; not waited for. `model`: another model file's text."""
        pod = self.pods[owner]
        self._count += 1
        environment = self.environment(pod)
        if model:
            other = self.directory / f"model-{self._count}.toml"
            other.write_text(model)
            environment["ODL_MODEL"] = str(other)
        log = self.directory / f"{self._count:02d}-{owner.rpartition('/')[2]}.log"
        command = [*node.enter, sys.executable, "-m", "odl", *pod.containers[0]["args"]]
        process = launch(command, log, environment)
        self._parts.callback(end, process, 9)
        return Running(pod, node, process, log)

    def scale(self, count: int) -> None:
        """As the autoscaler does: new pods serve once they are ready; those that leave end in order."""
        fresh = [
            self.start("Deployment/odl-replica", self._new_node()) for _ in range(len(self.replicas), count)
        ]
        for replica in fresh:
            wait_until(lambda r=replica: r.probe("readinessProbe"), "a new replica is ready")  # type: ignore[misc]
            self.replicas.append(replica)
        while len(self.replicas) > count:
            self.retire(self.replicas[0])

    def retire(self, running: Running) -> None:
        """Out of the Service first, then SIGTERM; it leaves in time and in order."""
        if running in self.replicas:
            self.replicas.remove(running)
        grace = running.pod.spec["terminationGracePeriodSeconds"] - PRE_STOP_S
        code = end(running.process, wait_s=max(grace, READY_S_MAX))
        assert code == 0, f"{running.log} ended with {code}: {running.log.read_text()[-2000:]}"

    def lose_node(self) -> None:
        """Every process of a node dies at once; what was there is started elsewhere."""
        node = self.consumers[0].node
        lost = [each for each in (*self.replicas, *self.consumers) if each.node is node]
        assert {each.pod.owner for each in lost} == {"Deployment/odl-replica", "Deployment/odl-consumer"}
        for running in lost:
            running.process.kill()
        node.stop()
        self.replicas = [each for each in self.replicas if each not in lost]
        self.consumers = [each for each in self.consumers if each not in lost]
        self.consumers.append(self.start("Deployment/odl-consumer", self._new_node()))
        self.scale(len(self.replicas) + 1)

    def roll(self) -> None:
        """A rolling update: a new pod is ready before an old one ends."""
        for old in list(self.replicas):
            self.scale(len(self.replicas) + 1)
            self.retire(old)

    def roll_to_another_fold(self) -> None:
        """New pods end at once until the log was handed over; then the old ones refuse."""
        text = self.model_text.replace("[model]\n", f"[model]\n{OTHER_FOLD}")
        old, early = list(self.replicas), self.start("Deployment/odl-replica", self._new_node(), text)
        assert early.process.wait(DEADLINE_S) == 2, "a replica of another fold serves"
        wait_until(lambda: all(each.probe("readinessProbe") for each in old), "the old fold goes on serving")
        adopting = self.start("CronJob/odl-adopt", early.node, text)
        assert adopting.process.wait(DEADLINE_S) == 0, adopting.log.read_text()
        self.model_file.write_text(text)
        fresh = [self.start("Deployment/odl-replica", node, text) for node in (early.node, self._new_node())]
        for replica in fresh:
            wait_until(lambda r=replica: r.probe("readinessProbe"), "it serves after `odl adopt`")  # type: ignore[misc]
        wait_until(lambda: not any(each.probe("readinessProbe") for each in old), "the old fold refuses")
        self.replicas += fresh
        for each in old:
            self.retire(each)

    def status(self, replica: Running) -> dict[str, Any]:
        """What a replica says of itself."""
        with urllib.request.urlopen(f"{replica.url}/status", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def ids(self) -> list[str]:
        """Ids of all events in the log, in order."""
        found: list[str] = []
        while entries := self.log.read(len(found), 1_000).entries[1 if found else 0 :]:
            found += [decode(entry.payload).id for entry in entries]
        return found
