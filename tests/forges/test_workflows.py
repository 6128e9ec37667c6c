"""The forges' files call targets, commands and options that exist, from pinned actions, without secrets."""

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / ".gitlab-ci.yml"]
RELEASES = [ROOT / ".github/workflows/release-model.yml", ROOT / ".gitlab-ci.yml"]  # of models
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text())


def test_it_is_yaml(text):
    assert isinstance(yaml.safe_load(text), dict)


def test_every_make_target_exists(text):
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert named <= TARGETS


def test_every_path_of_the_project_exists(text):
    for path in re.findall(r"(?:bash|--file) (\.?[\w./-]+)", text):
        assert (ROOT / path).is_file(), path


def test_actions_are_pinned(text):
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", action), action


def test_secrets_come_from_the_forge(text):
    assert set(re.findall(r"secrets\.(\w+)", text)) <= {"GITHUB_TOKEN", "KUBECONFIG"}
    assert not re.search(r"(?i)(password|token|key)\s*[:=]\s*['\"]?[\w-]{8,}", text)


def lines(found: Any) -> Iterator[str]:
    """The shell lines in what a forge's file, or a part of it, says."""
    if isinstance(found, str):
        yield from found.replace("\\\n", " ").splitlines()
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from lines(each)


@pytest.mark.parametrize("file", RELEASES, ids=lambda file: file.name)
def test_every_odl_command_parses(file):
    commands = [
        shlex.split(line) for line in lines(yaml.safe_load(file.read_text())) if ".venv/bin/odl" in line
    ]
    assert [name for _, name, *_ in commands] == ["gate", "gate"]
    for _, name, *arguments in commands:
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"odl.cli.{name}").add_arguments(parser)
        parser.parse_args(arguments)


def test_on_github_nothing_is_rolled_out_unless_both_gates_passed():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release-model.yml").read_text())["jobs"]
    assert jobs["roll-out"]["needs"] == "image"
    assert jobs["image"]["needs"] == "gates"
    is_gated_once_ready_then_pushed(jobs["image"])


def test_on_gitlab_nothing_is_rolled_out_unless_both_gates_passed():
    jobs = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
    order = [jobs[name]["stage"] for name in ("test", "gates", "model-image", "roll-out")]
    assert order == sorted(order, key=jobs["stages"].index)
    for name in ("gates", "model-image", "roll-out"):
        assert jobs[name]["extends"] == ".model"
        assert not {"allow_failure", "needs", "when", "rules"} & jobs[name].keys()
    is_gated_once_ready_then_pushed(jobs["model-image"])


def is_gated_once_ready_then_pushed(job: Any) -> None:
    script = list(lines(job))
    started, ready, gated, pushed = (
        next(number for number, line in enumerate(script) if re.search(pattern, line))
        for pattern in ("(podman|buildah) run", "curl .*--retry.*/ready", "odl gate .*--url", "buildah push")
    )
    assert started < ready < gated < pushed


@pytest.mark.parametrize("file", RELEASES, ids=lambda file: file.name)
def test_what_is_rolled_out_is_in_the_overlay_or_it_fails(file):
    """`kustomize edit set image` says nothing where no workload runs that image."""
    text = file.read_text()
    (overlay,) = re.findall(r"k8s/overlays/\w+", text)
    folder = ROOT / overlay
    used = yaml.safe_load((folder / "kustomization.yaml").read_text())["components"]
    components = [each for each in used if "image: odl-scorer" in _text_of(folder / each)]
    assert components, f"{overlay} runs no scorer"
    assert re.search(r'kubectl kustomize \. \| grep .*"image: \$IMAGE"[^\n]*\n[^\n]*kubectl apply', text)


def _text_of(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.glob("*.yaml"))
