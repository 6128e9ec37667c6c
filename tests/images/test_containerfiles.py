"""What the Containerfiles promise, read from their text."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "k8s/images").glob("*.Containerfile"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_is_one_for_the_server_the_trainer_and_the_scorer():
    assert [file.stem for file in FILES] == ["scorer", "server", "trainer"]


def test_it_runs_as_nobody(file):
    users = re.findall(r"^USER (\d+):(\d+)$", file.read_text(), re.M)
    assert users == [("65532", "65532")]


def test_its_base_is_pinned_and_can_be_replaced(file):
    text = file.read_text()
    [base] = re.findall(r"^ARG BASE=(\S+)$", text, re.M)
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm", base)
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"${BASE}"}


def test_packages_are_locked_with_hashes(file):
    text = file.read_text()
    assert f"--no-deps --require-hashes -r requirements/{file.stem}.txt" in text
    assert "pip install" in text
    lock = (ROOT / f"requirements/{file.stem}.txt").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==\S+ \\$", lock, re.M)
    assert pins
    assert lock.count("--hash=sha256:") >= len(pins)


def test_everything_locked_for_an_image_is_what_the_project_locks(file):
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.M))

    own = {pin for pin in pins(file.stem) if not pin.startswith(("setuptools==", "wheel=="))}
    assert own <= pins("lock")


def test_labels_say_what_it_is(file):
    text = file.read_text()
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text


@pytest.mark.parametrize("name", ["server", "scorer"])
def test_serving_images_hold_no_tensorflow(name):
    lock = (ROOT / f"requirements/{name}.txt").read_text()
    assert "tensorflow" not in lock
    assert "keras" not in lock


def test_the_scorer_holds_numpy_and_a_server_only():
    lock = (ROOT / "requirements/scorer.txt").read_text()
    names = re.findall(r"^([a-z0-9._-]+)==", lock, re.M)
    assert names == ["click", "granian", "msgspec", "numpy", "prometheus-client"]
