"""An exported model behind the same protocol: the same answers, no compiler, no learning."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import export
from odl.event import Features
from seldon.frozen import open_frozen

NAMES = ("a", "b")
ROW: Features = {"a": 0.5, "b": -1.0}


@pytest.fixture(scope="module")
def learner() -> HedgeLearner:
    learner = HedgeLearner(
        ModelSpec(task="binary", classes=("no", "yes"), fields=dict.fromkeys(NAMES, "number"), width=20)
    )
    for i in range(200):
        a, b = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 50 - 1
        learner.learn_one({"a": a, "b": b}, "yes" if a + b > 0 else "no")
    return learner


@pytest.fixture(scope="module")
def file(learner: HedgeLearner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "model.npz"
    export(learner, file)
    return file


def start(file: Path) -> tuple[subprocess.Popen[str], str]:
    """A scorer process and where it answers."""
    command = [sys.executable, "-m", "seldon.scorer", str(file), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "frozen model 'model' of version 200 at http://" in line, line or process.communicate()[1]
    return process, line.split(" at ")[-1].strip()


@pytest.fixture(scope="module")
def url(file: Path) -> Iterator[str]:
    process, url = start(file)
    yield url
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_it_answers_what_the_learner_answers(url: str, learner: HedgeLearner) -> None:
    answer = httpx.post(f"{url}/api/v1.0/predictions", json={"jsonData": ROW}).json()
    assert answer["jsonData"] == pytest.approx(learner.predict_proba_one(ROW), abs=1e-6)
    assert answer["meta"]["tags"]["version"] == 200
    rows = httpx.post(f"{url}/predict", json={"data": {"ndarray": [[0.5, -1.0], [1.0, 1.0]]}}).json()
    assert rows["data"]["ndarray"][0] == pytest.approx(
        list(learner.predict_proba_one(ROW).values()), abs=1e-6
    )


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/predict", {"jsonData": {"unknown": 1.0}}, 422, "BAD_FEATURES"),
        ("/predict", {"jsonData": {**ROW, "a": "x"}}, 422, "BAD_FEATURES"),
        ("/predict", {"jsonData": ROW, "meta": {"tags": {"min_version": 201}}}, 503, "UNAVAILABLE"),
        ("/send-feedback", {"request": {"jsonData": ROW, "meta": {"puid": "p"}}}, 405, "FROZEN"),
        ("/predict", {"data": {"ndarray": [[0.0, 0.0]] * 1025}}, 400, "TOO_MANY"),
    ],
)
def test_what_it_cannot_do_is_refused(
    url: str, path: str, body: dict[str, object], status: int, reason: str
) -> None:
    if path == "/send-feedback":
        body = {**body, "truth": {"jsonData": "yes"}}
    response = httpx.post(f"{url}{path}", json=body)
    assert (response.status_code, response.json()["status"]["reason"]) == (status, reason)


@pytest.mark.parametrize("path", ["/live", "/ready", "/metadata", "/status", "/metrics", "/health/ping"])
def test_probes_find_it_well(url: str, path: str) -> None:
    assert httpx.get(f"{url}{path}").status_code == 200


def test_it_loads_no_compiler_and_no_client_of_redis_or_kafka(file: Path) -> None:
    code = (
        "import sys, seldon.scorer; from pathlib import Path; from seldon.frozen import open_frozen\n"
        "open_frozen(Path(sys.argv[1]))\n"
        "names = ('numba', 'llvmlite', 'tensorflow', 'confluent_kafka', 'redis')\n"
        "print([name for name in names if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_file_is_refused_in_one_line(file: Path, tmp_path: Path, damage: str) -> None:
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0x10
    else:
        data = bytearray(json.dumps({"not": "a model"}).encode())
    damaged = tmp_path / "model.npz"
    damaged.write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-m", "seldon.scorer", str(damaged), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )
    assert run.returncode == 2
    assert run.stderr.startswith(f"scorer: cannot serve {damaged}: ")
    assert run.stderr.count("\n") == 1


def test_every_flipped_byte_of_a_small_file_is_found_or_harmless(file: Path, tmp_path: Path) -> None:
    """Where a flip does not show, nothing reads that byte: the answers are the same."""
    good = open_frozen(file).plane.predict({"jsonData": dict(ROW)})["jsonData"]
    data, found = file.read_bytes(), 0
    damaged = tmp_path / "model.npz"
    for at in range(0, len(data), max(1, len(data) // 300)):
        flipped = bytearray(data)
        flipped[at] ^= 0x01
        damaged.write_bytes(flipped)
        try:
            answer = open_frozen(damaged).plane.predict({"jsonData": dict(ROW)})["jsonData"]
        except Exception:  # noqa: BLE001 - which one is not the point here
            found += 1
        else:
            assert answer == good
    assert found > 250
