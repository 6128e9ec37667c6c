"""docker-compose.yml, run without Docker: its commands, settings and health checks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import machine
import pytest
import run_compose

LIMIT_S = 900.0


def test_feedback_given_to_one_replica_is_learned_by_the_other(tmp_path: Path) -> None:
    if reason := run_compose.missing():
        pytest.skip(reason)
    own = machine.unshared("unshare", "--mount", "--")
    command = [*own, sys.executable, run_compose.__file__, str(tmp_path / "compose")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\nlogs: {tmp_path / 'compose'}"
    verdict = json.loads(done.stdout)
    assert verdict["version"] == run_compose.EVENTS
    assert verdict["healthy"] == ["replica-1", "replica-2", "consumer"]
    if shutil.which("prometheus"):
        assert set(verdict["scraped"].values()) == {"up"}
