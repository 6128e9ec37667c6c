"""docker-compose.yml: what it names exists, what it runs is understood, its images are those of k8s."""

import argparse
import importlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from overlays import ROOT, build, missing

from odl.config import load_config
from odl.embedded_redis import _binary
from odl.redis_connection import check_server, connect

FOLDER = ROOT / "k8s" / "compose"
PARSER = ROOT / ".odl" / "compose" / "parser"  # what `make compose-parser` built
PINNED = re.compile(r"[a-z0-9.-]+/[a-z0-9./-]+:v?[0-9]+\.[0-9]+\.[0-9][\w.-]*")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]
    return found


def lasting(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in services.items() if each["restart"] != "no"}


def parsed(file: Path) -> subprocess.CompletedProcess[str]:
    """What Docker Compose's own parser says of a file."""
    if not PARSER.exists():
        pytest.skip("no parser of Docker Compose here: make compose-parser (Go, seconds)")
    return subprocess.run([str(PARSER), str(file)], capture_output=True, text=True, check=False, timeout=60)


def test_docker_compose_reads_it_as_we_do(services: dict[str, dict[str, Any]]) -> None:
    done = parsed(FOLDER / "docker-compose.yml")
    assert done.returncode == 0, done.stderr
    assert "level=" not in done.stderr, f"it warns: {done.stderr}"
    read = json.loads(done.stdout)["services"]
    assert read.keys() == services.keys()
    for name, each in services.items():
        command = [word.replace("$$", "$") for word in each.get("command", [])]
        assert (read[name]["command"] or []) == command, name
        assert read[name].get("healthcheck", {}).get("test") == each.get("healthcheck", {}).get("test"), name


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchekc:"),
        ("redis: {condition", "redsi: {condition"),
        ('volumes: ["redis:', 'volumes: ["rediss:'),
    ],
)
def test_docker_compose_refuses_what_is_wrong(right: str, wrong: str, tmp_path: Path) -> None:
    text = (FOLDER / "docker-compose.yml").read_text()
    assert right in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(right, wrong))
    assert parsed(tmp_path / "docker-compose.yml").returncode == 1


def test_it_has_all_that_is_needed(services: dict[str, dict[str, Any]]) -> None:
    parts = {"redis", "kafka", "topics", "replica-1", "replica-2", "consumer", "prometheus", "grafana"}
    assert set(services) == parts
    assert set(lasting(services)) == parts - {"topics"}


def test_images_are_pinned_and_those_of_kubernetes(services: dict[str, dict[str, Any]]) -> None:
    images = {each["image"] for each in services.values()}
    assert all(PINNED.fullmatch(image) for image in images), images
    if missing():
        pytest.skip(missing())
    there = {c["image"] for pod in build("plain").pods() for c in pod.all_containers}
    assert there <= images


def test_redis_and_kafka_are_the_versions_that_the_tests_run(services: dict[str, dict[str, Any]]) -> None:
    valkey = subprocess.run(
        [str(_binary()), "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"v={services['redis']['image'].rpartition(':')[2]} " in valkey.stdout
    kafka = (ROOT / "tests" / "faults" / "apache_kafka.py").read_text()
    assert f'KAFKA_VERSION = "{services["kafka"]["image"].rpartition(":")[2]}"' in kafka


def test_what_lasts_has_a_health_check_a_limit_and_no_open_port(services: dict[str, dict[str, Any]]) -> None:
    for name, each in lasting(services).items():
        assert each["healthcheck"]["test"][0] == "CMD", name
        assert each["healthcheck"]["retries"] >= 30, f"{name}: a busy machine is slow to start"
        assert each["mem_limit"], name
    for name, each in services.items():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", [])), name
        assert not each.get("privileged"), name


def test_what_waits_waits_for_a_service_that_says_when(services: dict[str, dict[str, Any]]) -> None:
    for name, each in services.items():
        for other, rule in each.get("depends_on", {}).items():
            if rule["condition"] == "service_healthy":
                assert "healthcheck" in services[other], name
            else:
                assert rule["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no", name


def test_mounted_files_are_there_and_volumes_declared(services: dict[str, dict[str, Any]]) -> None:
    declared = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["volumes"]
    for name, each in services.items():
        for volume in each.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (FOLDER / source).is_file() and rest.endswith(":ro"), f"{name}: {source}"
            else:
                assert source in declared, f"{name}: {source}"


def test_our_commands_and_settings_are_understood(services: dict[str, dict[str, Any]]) -> None:
    ours = {name: each for name, each in services.items() if "odl-server" in each["image"]}
    assert set(ours) == {"replica-1", "replica-2", "consumer"}
    for each in ours.values():
        command, *options = each["command"]
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"odl.cli.{command}").add_arguments(parser)
        parser.parse_args(options)
        assert each["environment"].keys() == {"ODL_MODEL", "ODL_REDIS", "ODL_KAFKA"}
        assert each["read_only"] and each["cap_drop"] == ["ALL"]
        assert (FOLDER / each["build"]["context"] / each["build"]["dockerfile"]).is_file()


def test_topics_are_those_of_the_model(services: dict[str, dict[str, Any]]) -> None:
    config = load_config(ROOT / "k8s" / "base" / "model.toml")
    (made,) = re.findall(r"for topic in (.*); do", services["topics"]["command"][-1])
    names = {each.partition(":")[0] for each in made.split()}
    assert names == {config.kafka.topic, config.kafka.dead_letter_topic}


def test_redis_runs_so_that_replicas_accept_it(services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    _, *arguments = services["redis"]["command"]
    socket = tmp_path / "redis.sock"
    command = [str(_binary()), *arguments, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None, "Redis refused its settings"
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)
        client = connect(f"unix://{socket}")
        assert check_server(client, require_fsync_always=True).appendfsync == "always"
        client.close()
    finally:
        process.terminate()
        process.wait(60)


def test_prometheus_scrapes_every_process_of_ours(services: dict[str, dict[str, Any]]) -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]}
    assert targets == {"replica-1:9000", "replica-2:9000", "consumer:9100"}
    source = yaml.safe_load((FOLDER / "grafana-datasource.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in services


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: apt-get install prometheus")
def test_prometheus_takes_its_settings() -> None:
    command = ["promtool", "check", "config", str(FOLDER / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_is_where_grafana_looks(services: dict[str, dict[str, Any]]) -> None:
    provider = yaml.safe_load((ROOT / "k8s" / "monitoring" / "grafana.yaml").read_text())["providers"][0]
    inside = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dashboard.json" in inside
