"""The README's quick start works as printed: its shell block, line by line, in an empty directory."""

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


def quick_start() -> str:
    block = re.search(r"<!-- quick start -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "README.md has no quick start block"
    return block.group(1)


@pytest.fixture
def transcript(tmp_path: Path) -> str:
    """What the quick start prints, run by bash line by line; whatever it started is ended."""
    for port in (9000, 9001):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), f"port {port} of the quick start is taken here"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    activate = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
    (tmp_path / ".venv" / "bin" / "activate").write_text(activate)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    shell = subprocess.Popen(
        ["bash", "-euxo", "pipefail", "-c", quick_start()],
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
def test_the_quick_start_works_as_printed(transcript: str) -> None:
    assert re.search(r'"outcome": ?"accepted"', transcript)
    status = transcript[transcript.rindex("+ odl status") :]
    assert re.search(r"version 2\b", status)
    replicas = re.findall(r"http://127\.0\.0\.1:900[01]", status)
    assert len(set(replicas)) == 2
    assert re.search(r"version +2\b", transcript[transcript.rindex("+ odl replay") :])
