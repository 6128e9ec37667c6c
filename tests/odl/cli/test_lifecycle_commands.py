"""`odl snapshot`, `rollback`, `promote`, `export`, `log show` and what-if replays, on a real server."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import PortableModel
from odl.cli import main
from odl.cli.opened import operator
from odl.event import Event, encode
from odl.log import Append
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.replica import Replica

WAIT_S = 60.0
MODEL = '[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\nhidden_layers = 1\nwidth = 16\n'
GOOD, BAD = 40, 10  # events of each source


class Odl:
    """The commands on one model with some history: `GOOD` events, then `BAD` ones of another source."""

    def __init__(
        self, name: str, folder: Path, client: redis.Redis, output: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.client = client
        self.name = name
        self.output = output
        self.log = RedisLog(client, name)
        self.log.create()
        self.send(1, GOOD, "rest:good")
        self.send(GOOD + 1, GOOD + BAD, "rest:bad")

    def send(self, first: int, last: int, source: str) -> None:
        for number in range(first, last + 1):
            y = "leaves" if number % 7 < 3 else "stays"
            event = Event(id=f"e-{number}", x={"usage": number % 7}, y=y, source=source, seq=str(number))
            self.log.append(Append(encode(event), event.id, source))

    def run(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        code = main([*arguments, "--json"])
        printed = self.output.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    def refused(self, *arguments: str) -> str:
        """The one line of a command that exits with 2."""
        assert main(arguments) == 2
        error = self.output.readouterr().err.strip()
        assert error.count("\n") == 0, error
        return error

    def spec(self, width: int) -> str:
        path = self.folder / f"width-{width}.toml"
        path.write_text(MODEL.replace("width = 16", f"width = {width}"))
        return str(path)


@pytest.fixture
def odl(
    model_name: str,
    tmp_path: Path,
    valkey_url: str,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Odl:
    model = tmp_path / "model.toml"
    model.write_text(f'name = "{model_name}"\n{MODEL}')
    monkeypatch.setenv("ODL_MODEL", str(model))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return Odl(model_name, tmp_path, redis_client, capsys)


def test_a_model_is_saved_rolled_back_promoted_and_replicas_follow(odl: Odl) -> None:
    spec = ModelSpec.from_dict(
        {"task": "binary", "classes": ["stays", "leaves"], "hidden_layers": 1, "width": 16}
    )
    replica = Replica(
        lambda: HedgeLearner(spec),
        HedgeLearner.from_bytes,
        odl.log,
        RedisSnapshots(odl.client, odl.name),
        learner_of=lambda other: HedgeLearner(ModelSpec.from_dict(other)),
    )
    with replica:
        saved = odl.run("snapshot")
        assert saved["version"] == GOOD + BAD
        assert saved["digest"] == odl.run("replay")["digest"]

        done = odl.run("rollback", "--to", str(GOOD), "--yes", "--note", "a bad source")
        assert (done["version"], done["snapshot"], done["scores"]["events"]) == (GOOD + BAD + 1, True, GOOD)
        assert done["digest"] == odl.run("replay")["digest"]
        assert replica.predict([]).result(WAIT_S).version == done["version"]
        assert replica.status().digest == done["digest"]

        promoted = odl.run("promote", "--spec", odl.spec(24), "--without", "rest:bad", "--yes")
        assert (promoted["version"], promoted["without"]) == (GOOD + BAD + 2, ["rest:bad"])
        assert promoted["fold_id"] != done["fold_id"]
        odl.send(GOOD + BAD + 1, GOOD + BAD + 3, "rest:good")
        replayed = odl.run("replay")
        assert (replayed["events"], replayed["fold_id"]) == (GOOD + 3, promoted["fold_id"])
        replica.predict([]).result(WAIT_S)
        assert replica.status().digest == replayed["digest"]
    listed = odl.run("snapshot", "--list")
    assert [each["version"] for each in listed] == [GOOD + BAD + 2, GOOD + BAD + 1, GOOD + BAD]
    assert all(each["on_history"] for each in listed)


def test_an_entry_is_shown_with_where_it_came_from_and_what_was_predicted(odl: Odl) -> None:
    shown = odl.run("log", "show", "--version", "7")
    assert (shown["kind"], shown["learned"], shown["id"]) == ("event", True, "e-7")
    assert (shown["source"], shown["position"], shown["label"]) == ("rest:good", "7", "leaves")
    assert sum(shown["prediction_before"].values()) == pytest.approx(1.0, abs=1e-5)
    odl.run("rollback", "--to", "5", "--yes", "--note", "why not")
    assert odl.run("log", "show", "--version", "7")["left_out_since"] == GOOD + BAD + 1
    control = odl.run("log", "show", "--version", str(GOOD + BAD + 1))
    assert (control["kind"], control["to"], control["note"]) == ("rollback", 5, "why not")
    assert main(["log", "show", "--version", "7"]) == 0
    assert "rest:good" in odl.output.readouterr().out


def test_an_exported_version_predicts_what_the_model_predicted_then(odl: Odl) -> None:
    path = odl.folder / "model.npz"
    manifest = odl.run("export", "--version", "30", str(path))
    assert manifest["digest"] == odl.run("replay", "--to", "30")["digest"]
    assert (manifest["model"], manifest["version"]) == (odl.name, 30)
    with np.load(path, allow_pickle=False) as stored:
        inside = json.loads(str(stored["manifest"]))
    assert inside.pop("sha256") and inside == manifest
    portable = PortableModel.load(path)
    shown = odl.run("log", "show", "--version", "31")
    predicted = portable.predict_proba_one(shown["features"])
    assert predicted == pytest.approx(shown["prediction_before"], abs=1e-6)
    assert "cannot be written" in odl.refused("export", str(odl.folder / "no folder" / "model.npz"))


def test_what_if_scores_stand_side_by_side_and_nothing_enters_the_log(odl: Odl) -> None:
    before = odl.log.head()
    both = odl.run("replay", "--without", "rest:bad", "--spec", odl.spec(24))
    assert (both["as_it_is"]["events"], both["what_if"]["events"]) == (GOOD + BAD, GOOD)
    assert both["as_it_is"]["fold_id"] != both["what_if"]["fold_id"]
    promoted = odl.run("promote", "--spec", odl.spec(24), "--without", "rest:bad", "--yes")
    assert promoted["scores"]["log_loss"] == both["what_if"]["log_loss"]
    assert odl.log.head().version == before.version + 1
    assert main(["replay", "--from", "9", "--all-history"]) == 0
    assert "what if" in odl.output.readouterr().out


def test_wrong_use_is_one_line_and_changes_nothing(odl: Odl) -> None:
    head = odl.log.head()
    last = GOOD + BAD
    assert f"from 0 to {last - 1}, received 999" in odl.refused("rollback", "--to", "999", "--yes")
    assert "Pass --yes" in odl.refused("rollback", "--to", "9")
    assert "Pass --yes" in odl.refused("promote", "--spec", odl.spec(24))
    assert "expected another model" in odl.refused("promote", "--yes")
    assert f"from 1 to {last}, received 0" in odl.refused("log", "show", "--version", "0")
    assert f"from 0 to {last}, received 77" in odl.refused("export", "--version", "77", "x.npz")
    assert f"from 0 to {last}, received -1" in odl.refused("replay", "--to", "-1")
    assert "cannot be read" in odl.refused("promote", "--spec", "no such file", "--yes")
    assert "width from 1 to 1024, received 0" in odl.refused("promote", "--spec", odl.spec(0), "--yes")
    other = odl.folder / "other.toml"
    other.write_text('[model]\ntask = "regression"\n')
    assert "expected task 'binary'" in odl.refused("replay", "--spec", str(other))
    other.write_text('name = "x"\n')
    assert "expected a [model] table" in odl.refused("replay", "--spec", str(other))
    assert odl.log.head() == head


def test_a_model_file_that_the_replicas_do_not_use_is_refused(odl: Odl) -> None:
    odl.log.claim("another-fold")
    assert "belongs to fold another-fold" in odl.refused("rollback", "--to", "1", "--yes")


def test_a_log_that_does_not_exist_is_one_line(odl: Odl, monkeypatch: pytest.MonkeyPatch) -> None:
    path = odl.folder / "unknown.toml"
    path.write_text(f'name = "{odl.name}-unknown"\n{MODEL}')
    monkeypatch.setenv("ODL_MODEL", str(path))
    for command in (
        ["snapshot"],
        ["rollback", "--to", "1", "--yes"],
        ["promote", "--yes"],
        ["export", "x.npz"],
    ):
        assert "holds no log" in odl.refused(*command)


def test_who_gave_a_command_in_a_container_without_user_names_is_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert operator().startswith(f"{os.getuid()}@")
