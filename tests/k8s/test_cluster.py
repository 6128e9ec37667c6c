"""What the manifests run, run: processes with addresses of their own, scaled, rolled and lost under load."""

import json
import subprocess
import sys
from pathlib import Path

import machine
import overlays
import pytest
from run_cluster import differences

LIMIT_S = 900.0


@pytest.mark.skipif(bool(overlays.missing()), reason=overlays.missing())
def test_nothing_is_lost_or_doubled_while_replicas_come_and_go(tmp_path: Path) -> None:
    if reason := machine.missing():
        pytest.skip(reason)
    script = Path(__file__).with_name("run_cluster.py")
    command = machine.unshared(sys.executable, str(script), str(tmp_path / "cluster"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\nlogs: {tmp_path / 'cluster'}"
    verdict = json.loads(done.stdout)
    assert verdict["version"] == verdict["feedback 200"] + verdict["by Kafka"]
    assert verdict["predict 200"] >= verdict["feedback 200"] > 0 and verdict["by Kafka"] > 0
    assert verdict["replicas"] == 2


def test_the_audit_sees_what_is_lost_doubled_or_invented() -> None:
    assert differences(["a", "b"], ["b", "a"]) == ""
    assert differences(["a", "a"], ["a"]) == "learned twice: ['a']"
    assert differences(["a"], ["a", "b"]) == "lost: ['b']"
    assert differences(["a", "x"], ["a"]) == "invented: ['x']"
