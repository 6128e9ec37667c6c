"""What manifests run exists in the product: commands, options, environment, files, topics."""

import argparse
import importlib
import re
import subprocess

import pytest
from overlays import ROOT, Overlay, Pod

from hedge_model.spec import ModelSpec
from odl.cli import COMMANDS
from odl.config import parse_config
from odl.embedded_redis import _binary

SOURCES = ("odl", "hedge_model", "streaming", "seldon")


def known_variables() -> set[str]:
    """The ODL_… names in the product's sources; an option's, too, which may be made from its name."""
    text = "".join(path.read_text() for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    from odl.cli.serve import SECURITY

    return set(re.findall(r"\bODL_[A-Z_]+\b", text)) | {f"ODL_{name.upper()}" for name in SECURITY}


def environment(overlay: Overlay, pod: Pod) -> dict[str, str]:
    """What the first container of a pod finds in its environment."""
    (container,) = pod.containers
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= overlay.one("ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def ours(overlay: Overlay) -> list[Pod]:
    """Pods whose main container is an `odl` command."""
    images = ("/odl-server", "/odl-trainer")
    return [pod for pod in overlay.pods() if any(name in pod.containers[0]["image"] for name in images)]


def test_arguments_are_understood(overlay: Overlay) -> None:
    assert len(ours(overlay)) >= 2
    for pod in ours(overlay):
        command, *options = pod.containers[0]["args"]
        assert command in COMMANDS
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"odl.cli.{command}").add_arguments(parser)
        args = parser.parse_args(options)
        ports = {port["name"]: port["containerPort"] for port in pod.containers[0].get("ports", [])}
        if command == "serve":
            assert (args.host, args.port, args.grpc_port) == ("0.0.0.0", ports["http"], ports["grpc"])


def test_the_environment_is_read(overlay: Overlay) -> None:
    for pod in ours(overlay):
        assert set(environment(overlay, pod)) - known_variables() == set(), pod.owner
    assert "ODL_NOBODY_READS_THIS" not in known_variables()


def test_files_that_the_environment_names_are_mounted(overlay: Overlay) -> None:
    for pod in (each for each in ours(overlay) if each.runs_on):  # a job reads some of it only
        mounts = [mount["mountPath"] for mount in pod.containers[0]["volumeMounts"]]
        kafka = pod.containers[0]["args"][0] in ("serve", "consume")
        for name, value in environment(overlay, pod).items():
            if value.startswith("/") and (kafka or name != "ODL_KAFKA_OPTIONS"):
                assert any(value.startswith(f"{mount}/") for mount in mounts), f"{pod.owner}: {name}={value}"


def test_the_model_file_is_one_and_its_topics_are_made(production: Overlay) -> None:
    config = parse_config(production.named("ConfigMap", "odl-model")["data"]["model.toml"])
    assert ModelSpec.from_dict(config.model).task == "binary"
    topics = {each["metadata"]["name"] for each in production.of_kind("KafkaTopic")}
    assert topics == {config.kafka.topic, config.kafka.dead_letter_topic}
    groups = [
        each["resource"]["name"]
        for each in production.one("KafkaUser", "odl")["spec"]["authorization"]["acls"]
        if each["resource"]["type"] == "group"
    ]
    assert groups == [config.kafka.group]


def test_what_is_archived_has_an_archiver_and_replicas_that_may_ask_it(production: Overlay) -> None:
    config = parse_config(production.named("ConfigMap", "odl-model")["data"]["model.toml"])
    assert config.log.archive and config.log.retain
    asking = {
        pod.owner
        for pod in ours(production)
        if any("secretRef" in source for source in pod.containers[0].get("envFrom", []))
    }
    assert asking == {"CronJob/odl-archive", "SeldonDeployment/odl/main", "SeldonDeployment/odl/canary"}


def test_what_needs_more_packages_than_serving_runs_the_trainer(overlay: Overlay) -> None:
    for pod in ours(overlay):
        needs_more = pod.containers[0]["args"][0] in ("archive", "drift")
        assert ("/odl-trainer:" in pod.containers[0]["image"]) == needs_more, pod.owner


def test_probes_ask_for_paths_that_the_server_has(overlay: Overlay) -> None:
    paths = (ROOT / "seldon" / "app.py").read_text()
    for pod in overlay.pods():
        for container in pod.containers:
            for probe in (container[name] for name in container if name.endswith("Probe")):
                path = probe.get("httpGet", {}).get("path")
                assert path in (None, "/metrics") or f'"{path}"' in paths, f"{pod.owner}: {path}"


def test_the_functions_job_prints_and_loads_a_library(overlay: Overlay) -> None:
    (job,) = (pod for pod in overlay.pods() if pod.owner == "Job/odl-redis-functions")
    assert "-m odl rights --functions >" in job.spec["initContainers"][0]["command"][-1]
    assert "FUNCTION LOAD REPLACE <" in job.containers[0]["command"][-1]


@pytest.mark.parametrize("setting", ["appendonly yes", "appendfsync always", "maxmemory-policy noeviction"])
def test_redis_is_set_as_replicas_demand(overlay: Overlay, setting: str) -> None:
    assert setting in overlay.named("ConfigMap", "odl-redis")["data"]["valkey.conf"].splitlines()


def test_valkey_knows_every_setting(overlay: Overlay) -> None:
    conf = overlay.named("ConfigMap", "odl-redis")["data"]["valkey.conf"]
    lines = [line for line in conf.splitlines() if line and not line.startswith(("#", "dir", "aclfile"))]
    command = [str(_binary()), "-", "--port", "0", "--maxmemory", "nonsense"]  # ends once the rest is read
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=60
    )
    assert "maxmemory" in done.stderr + done.stdout
    assert "nonsense" in done.stderr + done.stdout, "a setting before this one was refused"
