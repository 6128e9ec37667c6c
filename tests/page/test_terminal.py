"""`odl watch` and `odl status` tell in a terminal what the page shows."""

import fcntl
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from watched_replica import HOSTILE_LABEL, MODEL, Replica

from odl.cli.screen import draw, plain

SECONDS_MAX = 60.0
LEAVES_SCREEN = b"\x1b[?1049l"  # what was on the terminal before is there again
CTRL_C = b"\x03"


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self.fd = fd
        self.seen = b""

    def wait_for(self, found: Callable[[bytes], bool]) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not found(self.seen):
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65_536)
                except OSError:  # the command has closed it
                    assert found(self.seen), self.seen[-2000:]

    def press(self, keys: bytes) -> None:
        os.write(self.fd, keys)


@contextmanager
def terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """`odl` with these arguments in a terminal of 120 columns."""
    parent, child = pty.openpty()
    base = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    env = base | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50"} | environment
    command = [sys.executable, "-m", "odl", *arguments]
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=env, preexec_fn=_own_terminal
    ) as process:
        os.close(child)
        try:
            yield Terminal(process, parent)
        finally:
            process.kill()
            os.close(parent)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it


def test_watch_draws_what_happens_and_leaves_by_ctrl_c(replica: Replica) -> None:
    version = replica.feed(20)
    with terminal("watch", "--url", replica.url) as seen:
        seen.wait_for(lambda text: f"version {version}".encode() in _plain(text))
        version = replica.feed(5)
        seen.wait_for(lambda text: f"version {version}".encode() in _plain(text))
        seen.wait_for(lambda text: HOSTILE_LABEL.encode() in _plain(text))
        seen.press(CTRL_C)
        seen.wait_for(lambda text: text.rstrip().endswith(LEAVES_SCREEN) or LEAVES_SCREEN in text)
        assert seen.process.wait(SECONDS_MAX) == 0
    assert b"Traceback" not in seen.seen


def test_watch_says_why_it_has_nothing_to_show(tmp_path: Path, valkey_url: str) -> None:
    model = tmp_path / "model.toml"
    model.write_text(f'name = "page-nobody"\n{MODEL}')
    with terminal("watch", "--model", str(model), "--redis", valkey_url) as seen:
        seen.wait_for(lambda text: b"no replica is alive" in _plain(text))
        seen.press(CTRL_C)
        assert seen.process.wait(SECONDS_MAX) == 0


def test_watch_wants_a_terminal(replica: Replica) -> None:
    command = [sys.executable, "-m", "odl", "watch", "--url", replica.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 2 and "expected a terminal" in done.stderr


def test_status_has_the_scores_of_a_replica_that_answers(
    replica: Replica, tmp_path: Path, valkey_url: str
) -> None:
    version = replica.feed(5)
    model = tmp_path / "model.toml"
    model.write_text(f'name = "page"\n{MODEL}')
    command = [sys.executable, "-m", "odl", "status", "--json", "--model", str(model), "--redis", valkey_url]
    found = json.loads(subprocess.run(command, capture_output=True, timeout=SECONDS_MAX, check=True).stdout)
    assert found["head"]["version"] == found["scores"]["version"] == version
    assert 0 <= found["scores"]["accuracy"] <= 1 and len(found["scores"]["depth_weights"]) == 3


@pytest.mark.parametrize("width", [60, 120])
def test_what_users_sent_moves_no_cursor_and_is_no_markup(width: int) -> None:
    assert plain("[bold]late[/] \x1b[2J\r").plain == "[bold]late[/] ?[2J?"
    hello = {"model": "m", "learns": True}
    replica = {"version": 3, "epoch": 1, "ready": True, "events": 3, "depth_weights": [0.25, 0.75]}
    event = {"version": 3, "prediction": {"[red]": 0.9}, "label": "\x1b[31m", "source": "rest:x"}
    now = {
        "replica": replica,
        "point": {"version": 3, "accuracy": 0.5, "accuracy_recent": 0.5, "accuracy_base": 0.4},
        "traffic": {"predictions": 1, "predict_p50_ms": 1.0, "predict_p99_ms": 2.0},
        "fleet": {"replicas": [], "dead_letters": 0, "duplicates": 0},
        "recent": [event],
        "marks": [{"version": 2, "what": "drift of [red]"}],
    }
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(hello, [now["point"]], now))
    text = console.export_text()
    assert "drift of [red] at 2" in text
    assert "[red] 90 %" in text and "?[31m" in text and "75.0 %" in text


def _plain(text: bytes) -> bytes:
    return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", text)
