"""`odl feedback`: a file of labels that became known later, and what `odl log show` tells of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from odl.cli import main
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions
from odl.remembered import Remembered

MODEL = """
[model]
task = "binary"
classes = ["stays", "leaves"]
hidden_layers = 1
width = 16
[remember]
ttl_s = 3600
[feedback]
corrections = "learn"
"""


class Odl:
    """The commands on a model that remembers three predictions."""

    def __init__(
        self, name: str, folder: Path, client: redis.Redis, output: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.output = output
        RedisLog(client, name).create()
        store = RedisPredictions(client, name, ttl_s=3600, records_max=100)
        for number in range(3):
            store.put(f"p-{number}", Remembered({"usage": number}, {"stays": 0.75, "leaves": 0.25}, number))
        store.flush()

    def feedback(self, text: str, *options: str, code: int = 0) -> Any:
        file = self.folder / "labels.csv"
        file.write_text(text)
        assert main(["feedback", str(file), "--json", *options]) == code
        return json.loads(self.output.readouterr().out)

    def show(self, version: int) -> Any:
        assert main(["log", "show", "--version", str(version), "--json"]) == 0
        return json.loads(self.output.readouterr().out)


@pytest.fixture
def odl(
    model_name: str,
    tmp_path: Path,
    valkey_url: str,
    redis_client: redis.Redis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Odl:
    model = tmp_path / "model.toml"
    model.write_text(f'name = "{model_name}"\n{MODEL}')
    monkeypatch.setenv("ODL_MODEL", str(model))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    return Odl(model_name, tmp_path, redis_client, capsys)


def test_labels_are_learned_once_however_often_the_file_is_sent(odl: Odl) -> None:
    text = "id,truth\np-0,leaves\np-2,stays\n"
    assert odl.feedback(text) == {"accepted": 2, "version": 2, "refused": []}
    assert odl.feedback(text) == {"duplicate": 2, "version": 2, "refused": []}


def test_rows_that_cannot_be_learned_are_told_and_the_others_learned(odl: Odl) -> None:
    found = odl.feedback(
        "when,puid,y\n1,p-0,leaves\n2,p-9,stays\n3,p-1,never\n4,p-2,\n",
        "--id",
        "puid",
        "--truth",
        "y",
        code=1,
    )
    refused = [(each["id"], each["reason"]) for each in found.pop("refused")]
    assert refused == [("p-9", "UNKNOWN"), ("p-1", "BAD_LABEL"), ("p-2", "NO_TRUTH")]
    assert found == {"accepted": 1, "unknown": 1, "bad_label": 1, "no_truth": 1, "version": 1}


def test_a_file_without_the_columns_is_refused(odl: Odl, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("puid,y\np-0,leaves\n")
    assert main(["feedback", str(file)]) == 2
    assert "expected a column 'id', found puid, y" in odl.output.readouterr().err
    assert main(["feedback", str(tmp_path / "none.csv")]) == 2


def test_the_log_shows_the_first_label_the_correction_and_what_was_served(odl: Odl) -> None:
    odl.feedback("id,truth\np-1,leaves\n")
    odl.feedback("id,truth\np-1,stays\n", "--corrects")
    first, correction = odl.show(1), odl.show(2)
    assert (first["id"], first["label"], first["corrects"]) == ("p-1", "leaves", None)
    assert (correction["id"], correction["label"], correction["corrects"]) == ("p-1/c1", "stays", 1)
    assert first["corrected_by"] == [2] and correction["corrected_by"] == []
    assert first["prediction_served"] == {"leaves": 0.25, "stays": 0.75}
    assert first["served_at_version"] == 1
    assert set(first["prediction_before"]) == {"leaves", "stays"}
    assert correction["learned"]
