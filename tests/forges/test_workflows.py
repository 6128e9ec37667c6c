"""The forges' files call targets, commands and options that exist, from pinned actions, without secrets."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from odl.cli import COMMANDS

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / ".gitlab-ci.yml"]
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
    assert set(re.findall(r"secrets\.(\w+)", text)) <= {"GITHUB_TOKEN"}
    assert not re.search(r"(?i)(password|token|key)\s*[:=]\s*['\"]?[\w-]{8,}", text)


def test_every_odl_command_parses():
    text = (ROOT / ".github/workflows/release-model.yml").read_text().replace("\\\n", " ")
    flowed = re.sub(r">-\n((?: {10}.*\n)+)", lambda found: " ".join(found[1].split()) + "\n", text)
    commands = re.findall(r"\.venv/bin/odl (\w+) (.*)", flowed)
    assert len(commands) == 2
    for name, arguments in commands:
        assert name in COMMANDS
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"odl.cli.{name}").add_arguments(parser)
        parser.parse_args(shlex.split(arguments))


def test_nothing_is_rolled_out_unless_both_gates_passed():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release-model.yml").read_text())["jobs"]
    assert jobs["roll-out"]["needs"] == "image"
    assert jobs["image"]["needs"] == "gates"
    steps = [step.get("run", "") for step in jobs["image"]["steps"]]
    gated = next(i for i, step in enumerate(steps) if "odl gate" in step)
    pushed = next(i for i, step in enumerate(steps) if "buildah push" in step)
    assert gated < pushed
