"""`odl gate` on exported models, a log and a running scorer."""

import csv
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import export
from odl.cli import main

LIMITS = "[gates]\nevents_min = 100\naccuracy_min = 0.8\nsegment_accuracy_min = 0.7\n"


def rows(n: int, seed: int) -> list[tuple[float, float, str, str]]:
    draw = random.Random(seed)
    points = [(draw.uniform(-1, 1), draw.uniform(-1, 1), draw.choice(["Rome", "Oslo"])) for _ in range(n)]
    return [(a, b, city, "yes" if a + b > 0 else "no") for a, b, city in points]


def trained(file: Path, *, flip: bool = False) -> Path:
    learner = HedgeLearner(ModelSpec(task="binary", classes=("no", "yes"), width=20))
    for a, b, city, y in rows(1500, seed=1):
        learner.learn_one({"a": a, "b": b, "city": city}, {"yes": "no", "no": "yes"}[y] if flip else y)
    export(learner, file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    trained(folder / "good.npz")
    trained(folder / "flipped.npz", flip=True)
    (folder / "limits.toml").write_text(LIMITS)
    for name, seed in (("recent.csv", 2), ("old.csv", 3)):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("a", "b", "city", "y"))
            writer.writerows(rows(300, seed))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "seldon.scorer", str(folder / "good.npz"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split(" at ")[-1].strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def gate(folder: Path, candidate: str, *more: str) -> int:
    names = ("--serving", "good.npz", "--recent", "recent.csv", "--old", "old.csv", "--limits", "limits.toml")
    paths = [str(folder / name) if not name.startswith("--") else name for name in names]
    command = ["gate", str(folder / candidate), *paths, "--label", "y", "--segment", "city"]
    return main([*command, *more])


def test_a_good_candidate_qualifies_with_its_server(folder, url, capsys, tmp_path):
    assert gate(folder, "good.npz", "--url", url, "--json", str(tmp_path / "g.json")) == 0
    shown = capsys.readouterr().out
    assert "FAILED" not in shown
    checks = json.loads((tmp_path / "g.json").read_text())["checks"]
    assert {check["gate"] for check in checks} == {"model", "quality", "integration"}


def test_a_bad_candidate_is_refused_and_one_page_says_why(folder, capsys, tmp_path):
    assert gate(folder, "flipped.npz", "--page", str(tmp_path / "why.html")) == 1
    assert "FAILED" in capsys.readouterr().out
    page = (tmp_path / "why.html").read_text()
    assert "refused: " in page
    assert "accuracy of segment Rome" in page


def test_a_server_of_another_model_fails_the_integration_gate(folder, url, capsys):
    assert gate(folder, "flipped.npz", "--url", url) == 1
    [line] = [line for line in capsys.readouterr().out.splitlines() if "named features" in line]
    assert "FAILED" in line


def test_a_server_that_is_away_fails_every_integration_check(folder, capsys):
    assert gate(folder, "good.npz", "--url", "http://127.0.0.1:9") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("integration")]
    assert lines
    assert all("FAILED" in line for line in lines)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--label", "z"), "has no column 'z'"),
        (("--limits", "nothing.toml"), "expected a [gates] table"),
        (("--serving", "limits.toml"), "is no exported model"),
    ],
)
def test_wrong_use_is_one_clear_line(folder, capsys, more, message):
    more = tuple(str(folder / word) if word.endswith(".toml") else word for word in more)
    assert gate(folder, "good.npz", *more) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
