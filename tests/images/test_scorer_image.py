"""The scorer's image, built and run for real: as nobody, on a read-only file system."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from image import Container, container, missing

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import export
from odl.event import Features

ROW: Features = {"a": 0.4, "b": -0.2}

pytestmark = pytest.mark.xdist_group("images")
if reason := missing():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def scorer() -> Iterator[Container]:
    with container("scorer") as opened:
        yield opened


@pytest.fixture(scope="module")
def learner() -> HedgeLearner:
    learner = HedgeLearner(ModelSpec(task="binary", classes=("no", "yes"), width=16))
    for i in range(300):
        a, b = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 50 - 1
        learner.learn_one({"a": a, "b": b}, "yes" if a > b else "no")
    return learner


def test_it_answers_as_nobody_on_a_read_only_root(scorer: Container, learner: HedgeLearner) -> None:
    (scorer.root / "model").mkdir(exist_ok=True)
    export(learner, scorer.root / "model/model.npz")
    with scorer.running("/model/model.npz", "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "frozen model 'model' of version 300" in line, line
        url = line.split(" at ")[-1].strip()
        answer = httpx.post(f"{url}/predict", json={"jsonData": ROW}, timeout=60).json()
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert answer["jsonData"] == pytest.approx(learner.predict_proba_one(ROW), abs=1e-6)
    assert "Uid:\t65532" in status


def test_it_holds_no_compiler_and_no_tensorflow(scorer: Container) -> None:
    names = {path.name for path in (scorer.root / "opt/odl/lib/python3.11/site-packages").iterdir()}
    assert {"numpy", "granian"} <= names
    assert not names & {"numba", "llvmlite", "tensorflow", "redis", "confluent_kafka", "pip"}


def test_it_says_what_it_is_and_is_nobody(scorer: Container) -> None:
    scorer.check_identity("scorer")


def test_its_bill_of_materials_lists_what_is_in_it(scorer: Container) -> None:
    scorer.check_sbom("scorer")
