"""What the README prints works: its marked shell blocks, line by line, each in an empty directory."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
QUICK_START_S_MAX = 300  # three processes start and two folds run; a busy machine needs a minute


def shell_block(name: str) -> str:
    marked = rf"<!-- {name} -->\n```bash\n(.*?)```"
    block = re.search(marked, (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, f"README.md has no block '{name}'"
    return block.group(1)


def transcript_of(name: str, tmp_path: Path) -> str:
    """What a block prints, run by bash line by line; whatever it started is ended."""
    block = shell_block(name)
    for port in set(re.findall(r"--port (\d+)", block)):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))), f"port {port} of '{name}' is taken here"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    activate = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
    (tmp_path / ".venv" / "bin" / "activate").write_text(activate)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    shell = subprocess.Popen(
        ["bash", "-euxo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=QUICK_START_S_MAX)
    finally:
        subprocess.run([sys.executable, "-m", "odl", "down"], cwd=tmp_path, check=False, capture_output=True)
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, output
    return output


@pytest.mark.xdist_group("fixed ports")
def test_the_quick_start_works_as_printed(tmp_path: Path) -> None:
    transcript = transcript_of("quick start", tmp_path)
    assert re.search(r'"outcome": ?"accepted"', transcript)
    status = transcript[transcript.rindex("+ odl status") :]
    assert re.search(r"version 2\b", status)
    replicas = re.findall(r"http://127\.0\.0\.1:900[01]", status)
    assert len(set(replicas)) == 2
    assert re.search(r"version +2\b", transcript[transcript.rindex("+ odl replay") :])


@pytest.mark.xdist_group("fixed ports")
def test_late_labels_work_as_printed(tmp_path: Path) -> None:
    transcript = transcript_of("late labels", tmp_path)
    assert (
        len(re.findall(r'"outcome": ?"accepted","durability": ?"durable","version": ?[14]', transcript)) == 2
    )
    assert re.search(r"accepted +1\n", transcript[transcript.index("+ odl feedback") :])
    assert re.search(r'"code": ?404.*"reason": ?"UNKNOWN"', transcript)
    first, correction = transcript.split("+ odl log show")[1:]
    assert re.search(r"label +leaves", first) and re.search(r"corrected by +4\n", first)
    assert re.search(r"prediction served +leaves 0\.5", first)
    assert re.search(r"id +visit-a/c1", correction) and re.search(r"corrects +1", correction)


@pytest.mark.xdist_group("fixed ports")
def test_history_works_as_printed(tmp_path: Path) -> None:
    transcript = transcript_of("history", tmp_path)
    entered = re.findall(r"^entered +(\d+)", transcript, re.MULTILINE)
    assert entered == ["2000", "0"]
    assert re.search(r"^end +2000", transcript, re.MULTILINE)
    assert re.search(r"^version +1500", transcript, re.MULTILINE)
    assert "BAD_LABEL" in transcript[transcript.rindex("+ odl dead-letters list") :]
    assert re.findall(r"^accepted +(\d+)", transcript, re.MULTILINE) == ["0", "1", "0"]
    assert re.findall(r"^duplicates +(\d+)", transcript, re.MULTILINE)[-1] == "1"
