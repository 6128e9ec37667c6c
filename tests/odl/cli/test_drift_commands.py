"""`odl drift` and `odl challenge` with the real learner on a real server."""

import argparse
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from odl.challenger import RedisChallengers
from odl.cli import drift as drift_command
from odl.cli import main
from odl.drift import DriftRecord
from odl.drift_store import RedisDrifts
from odl.event import Event, encode
from odl.log import Append
from odl.redis_log import RedisLog

MODEL = '[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\nhidden_layers = 1\nwidth = 16\n'
DRIFT_AT, COUNT = 1_500, 2_500
WAIT_S = 60.0


@pytest.fixture
def model(
    model_name: str,
    tmp_path: Path,
    valkey_url: str,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A model file; its log has labels that turn round at `DRIFT_AT`."""
    path = tmp_path / "model.toml"
    path.write_text(f'name = "{model_name}"\n{MODEL}[drift]\ninputs = "none"\n')
    monkeypatch.setenv("ODL_MODEL", str(path))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    send(redis_client, model_name, 1, COUNT)
    return path


def send(client: redis.Redis, name: str, first: int, last: int) -> None:
    """Append events; their labels turn round at `DRIFT_AT`."""
    log = RedisLog(client, name)
    log.create()
    dice = random.Random(first)
    appends = []
    for number in range(first, last + 1):
        usage = dice.uniform(-1, 1)
        y = "leaves" if (usage > 0) == (number <= DRIFT_AT) else "stays"
        event = Event(id=f"e-{number}", x={"usage": usage}, y=y, source="rest:t", seq=str(number))
        appends.append(Append(encode(event), event.id, event.source))
    log.append_many(appends)


def watch_until(is_seen: Callable[[DriftRecord], bool], client: redis.Redis, name: str) -> None:
    """Run `odl drift --watch` until the record is as wanted, or `WAIT_S` have passed."""
    stopped, pause = threading.Event(), threading.Event()
    args = argparse.Namespace(model=None, redis=None, json=False)
    watching = threading.Thread(target=drift_command.watch, args=(args, stopped))
    watching.start()
    try:
        for _ in range(int(WAIT_S / 0.05)):
            if is_seen(RedisDrifts(client, name).load()):
                break
            pause.wait(0.05)
    finally:
        stopped.set()
        watching.join(WAIT_S)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = main([*arguments, "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    return json.loads(output.out)


def test_a_watch_finds_the_drift_and_every_command_shows_it(
    model: Path, model_name: str, redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    watch_until(lambda record: bool(record.drifts), redis_client, model_name)
    capsys.readouterr()
    found = printed(capsys, "drift")
    first = found["drifts"][0]
    assert first["field"] == "(error)" and DRIFT_AT < first["version"] < DRIFT_AT + 500
    assert found["observer"] == ""
    assert printed(capsys, "status")["drift"]["drifts"] == found["drifts"]
    assert main(["drift"]) == main(["status"]) == 0
    assert "(error)" in capsys.readouterr().out


def test_the_rate_is_raised_after_a_drift_and_lowered_again(
    model: Path, model_name: str, redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_text(model.read_text() + 'on_error = "raise_rate"\nrate_events = 200\n')
    before = printed(capsys, "replay")
    watch_until(lambda record: any(t.control for t in record.triggers), redis_client, model_name)
    capsys.readouterr()
    raised = printed(capsys, "replay")
    assert raised["fold_id"] != before["fold_id"] and raised["version"] == COUNT + 1
    send(redis_client, model_name, COUNT + 1, COUNT + 300)
    watch_until(lambda record: any(t.state == "done" for t in record.triggers), redis_client, model_name)
    capsys.readouterr()
    [trigger] = [each for each in printed(capsys, "drift")["triggers"] if each["state"] != "refused"]
    assert trigger["state"] == "done" and "as before from version" in trigger["outcome"]
    assert printed(capsys, "replay")["fold_id"] == before["fold_id"]


def test_a_challenger_is_scored_beside_the_champion(
    model: Path, model_name: str, redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    other = model.with_name("fast.toml")
    other.write_text(MODEL + "learning_rate = 0.01\n")
    found = printed(capsys, "challenge", "--spec", str(other), "--since", "1000", "--once")
    assert (found["name"], found["since"], found["version"], found["events"]) == ("fast", 1000, COUNT, 1500)
    assert found["challenger"]["log_loss"] != found["champion"]["log_loss"]
    [record] = printed(capsys, "status")["challengers"]
    assert record["challenger"] == found["challenger"]
    assert main(["status"]) == 0 and "fast" in capsys.readouterr().out
    assert main(["challenge", "--forget", "fast"]) == 0
    assert RedisChallengers(redis_client, model_name).list() == []


def test_a_challenge_without_a_challenger_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenge"]) == 2
    assert "--spec other.toml, or --from a version" in capsys.readouterr().err
