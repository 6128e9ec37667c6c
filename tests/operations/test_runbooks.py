"""What the operator's guide says to type, typed: its commands on a real log, its backup as it is there."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hedge_model import HedgeLearner, ModelSpec
from odl.cli import main
from odl.embedded_redis import EmbeddedRedis
from odl.event import Event, encode
from odl.log import Append
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replay import replay

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/OPERATIONS.md").read_text()
SPEC = ModelSpec(task="binary", classes=("no", "yes"), width=16)
MODEL = '[model]\ntask = "binary"\nclasses = ["no", "yes"]\nwidth = 16\n'
EVENTS = 40
ASKING = ("rollback", "promote")  # ask before they write
ELSEWHERE = ("dead-letters", "adopt")  # need a Kafka (tests/streaming), another model (tests/odl/cli)

Odl = Callable[..., int]


def fill(log: RedisLog, start: int, end: int) -> None:
    for i in range(start, end):
        source = "rest:good" if i % 2 else "rest:bad"
        event = Event(f"e-{i}", {"a": i % 7 - 3.0}, "yes" if i % 7 > 3 else "no", source=source)
        log.append(Append(encode(event), event.id, event.source))


@pytest.fixture
def odl(tmp_path: Path, valkey_url: str, model_name: str, monkeypatch: pytest.MonkeyPatch) -> Odl:
    """Runs commands on a log of its own with events in it."""
    model = tmp_path / "model.toml"
    model.write_text(f'name = "{model_name}"\n{MODEL}[log]\narchive = "{tmp_path / "archive"}"\n')
    monkeypatch.setenv("ODL_MODEL", str(model))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    with connect(valkey_url) as client:
        log = RedisLog(client, model_name)
        log.create()
        fill(log, 0, EVENTS)
    return lambda *arguments: main(arguments)


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`odl ([a-z-]+[^`]*)`", TEXT))))
def test_a_command_of_a_runbook_does_what_it_is_there_for(line: str, odl: Odl) -> None:
    command, *options = shlex.split(line.replace(" V", " 20").replace("SOURCE", "rest:bad"))
    if command in ELSEWHERE or (command in ASKING and not options):  # the latter name a command, no more
        return
    assert odl(command, *options, *(["--yes"] if command in ASKING else [])) == 0


def test_a_bad_source_is_left_out_as_its_runbook_says(odl: Odl, capsys: pytest.CaptureFixture[str]) -> None:
    def fold(*options: str) -> dict[str, Any]:
        assert odl("replay", "--json", *options) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    tried = fold("--without", "rest:bad")
    served, other = tried["as_it_is"], tried["what_if"]
    assert other["digest"] != served["digest"]
    assert odl("promote", "--without", "rest:bad", "--yes") == 0
    capsys.readouterr()
    now = fold()
    assert now["version"] == served["version"] + 1  # the promotion is an entry of the log
    assert now["digest"] not in (served["digest"], None)


@pytest.mark.skipif(
    shutil.which("redis-cli") is None, reason="no redis-cli here: apt-get install redis-tools"
)
def test_the_backup_is_made_by_the_lines_of_the_guide_and_restored_as_it_says(tmp_path: Path) -> None:
    (script,) = re.findall(r"^## Backup and restore.*?^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    data, backup = tmp_path / "data", tmp_path / "backup"
    backup.mkdir()
    with EmbeddedRedis(data) as server, connect(server.url) as client:
        log = RedisLog(client, "m")
        log.create()
        fill(log, 0, EVENTS)
        environment = {**os.environ, "DATA": str(data), "BACKUP": str(backup), "URL": server.url}
        there = (
            'redis-cli() { command redis-cli -u "$URL" "$@"; }\n'  # the guide's reader is on Redis's machine
        )
        command = ["bash", "-euo", "pipefail", "-c", there + script]
        subprocess.run(command, env=environment, check=True, timeout=60)
        assert client.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "100"}
        digest = replay(log, lambda: HedgeLearner(SPEC)).digest
    shutil.rmtree(data / "appendonlydir")
    shutil.copytree(backup / "appendonlydir", data / "appendonlydir")
    with EmbeddedRedis(data) as server, connect(server.url) as client:
        assert replay(RedisLog(client, "m"), lambda: HedgeLearner(SPEC)).digest == digest
