"""The operator's guide: its backup restores, its runbooks are those of the alerts, its commands exist."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from hedge_model import HedgeLearner, ModelSpec
from odl.cli import COMMANDS
from odl.embedded_redis import EmbeddedRedis
from odl.event import Event, encode
from odl.log import Append, Head, Log
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replay import replay

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/OPERATIONS.md").read_text()
SPEC = ModelSpec(task="binary", classes=("no", "yes"), width=16)


def fill(log: Log, start: int, end: int) -> None:
    for i in range(start, end):
        event = Event(f"e-{i}", {"a": i % 7 - 3.0}, "yes" if i % 7 > 3 else "no", source="rest:test")
        log.append(Append(encode(event), event.id, event.source))


def digest_of(log: Log) -> str:
    return replay(log, lambda: HedgeLearner(SPEC)).digest


def test_a_backup_taken_while_serving_restores_the_log_and_what_came_later_is_told(tmp_path):
    running, backup = tmp_path / "running", tmp_path / "backup"
    with EmbeddedRedis(running) as server, connect(server.url) as client:
        log = RedisLog(client, "m")
        log.create()
        fill(log, 0, 60)
        client.config_set("auto-aof-rewrite-percentage", 0)
        shutil.copytree(running / "appendonlydir", backup / "appendonlydir")
        client.config_set("auto-aof-rewrite-percentage", 100)
        kept, digest = log.head(), digest_of(log)
        fill(log, 60, 100)
        later = log.head()
    with EmbeddedRedis(backup) as server, connect(server.url) as client:
        log = RedisLog(client, "m")
        restored = log.head()
        assert _point(restored) == _point(kept)
        assert digest_of(log) == digest
        # Whoever saw version 100 finds a head behind it: that is how replicas know that history is missing.
        assert restored.version < later.version
        fill(log, 60, 100)
        assert _point(log.head()) == _point(later)


def _point(head: Head) -> tuple[int, str, str]:
    return head.version, head.chain, head.log_id


def test_a_backup_that_was_cut_in_the_middle_of_a_write_loses_no_more_than_its_tail(tmp_path):
    running, backup = tmp_path / "running", tmp_path / "backup"
    with EmbeddedRedis(running) as server, connect(server.url) as client:
        log = RedisLog(client, "m")
        log.create()
        fill(log, 0, 50)
        shutil.copytree(running / "appendonlydir", backup / "appendonlydir")
    [file] = (backup / "appendonlydir").glob("*.incr.aof")
    file.write_bytes(file.read_bytes()[:-37])
    with EmbeddedRedis(backup) as server, connect(server.url) as client:
        log = RedisLog(client, "m")
        assert log.head().version == 49
        assert replay(log, lambda: HedgeLearner(SPEC)).version == 49


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    rules = yaml.safe_load((ROOT / "k8s/monitoring/rules.yaml").read_text())
    groups = rules["spec"]["groups"] if "spec" in rules else rules["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts == set(re.findall(r"`(Odl[A-Za-z]+)`", TEXT))


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`odl ([a-z-]+)", TEXT))))
def test_every_command_of_the_guide_exists(command):
    assert command in COMMANDS


def test_files_that_the_guide_names_exist():
    for path in re.findall(r"`((?:docs|benchmarks|tests|k8s)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path
