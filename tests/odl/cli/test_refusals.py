"""A command that cannot work says why in one line and exits with 2; nothing is left running."""

import socket
from pathlib import Path

import pytest

from odl.cli import main
from odl.embedded_redis import EmbeddedRedis

MODEL = 'name = "churn"\n[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\n'


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("ODL_MODEL", "ODL_REDIS", "ODL_KAFKA"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "model.toml"
    path.write_text(MODEL)
    return path


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0, error
    return error


@pytest.mark.parametrize("command", ["serve", "consume", "status", "replay"])
def test_redis_out_of_reach(
    command: str, model: Path, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, "--model", str(model), "--redis", f"redis://{nobody}/0"]
    if command == "serve":
        arguments += ["--port", "0"]
    if command == "consume":
        arguments += ["--kafka", nobody]
    assert nobody in refusal(capsys, *arguments)


@pytest.mark.parametrize("command", ["serve", "consume"])
def test_kafka_out_of_reach(
    command: str, model: Path, nobody: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    try:
        arguments = [command, "--model", str(model), "--redis", redis.url, "--kafka", nobody]
        if command == "serve":
            arguments += ["--port", "0"]
        assert nobody in refusal(capsys, *arguments)
    finally:
        redis.stop()


def test_no_model_file(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ODL_MODEL" in refusal(capsys, "status", "--redis", "redis://127.0.0.1:1/0")


def test_a_misspelt_setting(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_text(MODEL + "[serve]\npolcy = 'stale'\n")
    error = refusal(capsys, "status", "--model", str(model), "--redis", "redis://127.0.0.1:1/0")
    assert "serve.polcy" in error


def test_a_model_setting_out_of_range(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_text(MODEL + "hidden_layers = -1\n")
    redis = EmbeddedRedis(tmp_path / "redis")
    try:
        error = refusal(capsys, "serve", "--model", str(model), "--redis", redis.url, "--port", "0")
    finally:
        redis.stop()
    assert "hidden_layers from 0 to 64" in error


def test_a_port_that_cannot_be(model: Path, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(
        capsys, "serve", "--model", str(model), "--redis", f"redis://{nobody}/0", "--port", "70000"
    )
    assert "port from 0 to 65535, received 70000" in error
