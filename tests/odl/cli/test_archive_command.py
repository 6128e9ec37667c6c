"""`odl archive`, and `odl replay --archive` over what is no longer in the log."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from odl.cli import main
from odl.event import Event, encode
from odl.log import Append
from odl.redis_log import RedisLog

EVENTS = 60


@pytest.fixture
def run(
    model_name: str,
    tmp_path: Path,
    valkey_url: str,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """A command on a model of `EVENTS` events: its exit code, JSON and error."""
    model = tmp_path / "model.toml"
    text = '[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\nhidden_layers = 1\nwidth = 16\n'
    model.write_text(f'name = "{model_name}"\n{text}[log]\narchive = "{tmp_path / "archive"}"\n')
    monkeypatch.setenv("ODL_MODEL", str(model))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    log = RedisLog(redis_client, model_name)
    log.create()
    for number in range(EVENTS):
        event = Event(id=f"e-{number}", x={"usage": number % 7}, y="leaves" if number % 7 < 3 else "stays")
        log.append(Append(encode(event), event.id, "rest:a"))

    def run(*arguments: str) -> tuple[int, Any, str]:
        code = main([*arguments, "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    return run


def test_a_trimmed_log_replays_with_its_archive(
    run: Any, model_name: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    whole = run("replay")[1]
    code, done, _ = run("archive", "--rows", "25")
    assert (code, done["begin"], done["end"], done["added"]) == (0, 1, EVENTS, EVENTS)
    redis_client.xtrim(f"{{odl:{model_name}}}:log", minid=f"{EVENTS - 10}-0", approximate=False)
    code, _, error = run("replay")
    assert code == 2 and "--archive" in error
    code, found, error = run("replay", "--archive", str(tmp_path / "archive"))
    assert (code, found) == (0, whole), error
    code, found, _ = run("replay", "--archive", str(tmp_path / "archive"), "--to", "30")
    assert (code, found["version"]) == (0, 30)
    code, found, _ = run("replay", "--archive", str(tmp_path / "archive"), "--from", "20")
    assert found["what_if"]["skipped"] == 20
    assert run("archive")[1]["added"] == 0


def test_a_folder_without_an_archive_is_named(run: Any, tmp_path: Path) -> None:
    code, _, error = run("replay", "--archive", str(tmp_path / "none"))
    assert code == 2
    assert "there is no archive in" in error
    code, _, error = run("archive", "--to", "nowhere://x")
    assert code == 2
    assert "expected a folder or a URL" in error
