"""`odl demo` as a user runs it: a small run, a second one that goes on, Ctrl-C, a crash; its report."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

RUN_S_MAX = 300  # a few seconds of work; a busy machine that compiles the kernel first needs a minute
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.xdist_group("demo")  # five processes each: one at a time


@contextlib.contextmanager
def demo(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A demo, ended at the end of the block if it has not ended before; its children end with it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ODL_")}
    with subprocess.Popen(
        [sys.executable, "-m", "odl", "demo", *map(str, arguments)],
        env=environment | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(running: subprocess.Popen[str]) -> str:
    """What it printed, once it has ended."""
    output, _ = running.communicate(timeout=RUN_S_MAX)
    return output


def run(directory: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The report and the output of a demo that must succeed."""
    file = directory.parent / f"{directory.name}.json"
    with demo("--dir", directory, "--report", file, *arguments) as running:
        output = finish(running)
    assert running.returncode == 0, output
    return json.loads(file.read_text()), output


def children_of(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """Redis, the broker, the consumer and the replicas of a demo."""
    return psutil.Process(running.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    assert processes
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


def wait_for_version(directory: Path, version: int, running: subprocess.Popen[str]) -> None:
    """Until replica 1 has learned so much."""
    deadline = time.monotonic() + RUN_S_MAX
    log = directory / "logs" / "replica-1.log"
    while time.monotonic() < deadline:
        assert running.poll() is None, finish(running)
        ready = re.search(r" at (http://\S+)\n", log.read_text() if log.exists() else "")
        if ready and status(ready[1])["version"] >= version:
            return
        time.sleep(0.05)
    raise AssertionError(f"version {version} was not reached")


def status(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/status", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def assert_consistent(report: dict[str, Any], events: int) -> None:
    assert report["events"] == report["version"] == events
    assert {replica["version"] for replica in report["replicas"]} == {events}
    assert {replica["digest"] for replica in report["replicas"]} == {report["offline_digest"]}
    assert report["reproduced"] == report["served"]
    assert report["dead_letters"] == 0
    assert report["epoch"] == 1


def test_a_second_run_continues_and_a_fresh_one_starts_over(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    first, output = run(directory, "--events", "600")
    assert_consistent(first, 600)
    keys = "events version epoch duplicates dead_letters auc log_loss accuracy base_rate_log_loss seconds"
    keys += " events_per_second predict_ms replicas offline_digest figure"
    assert set(keys.split()) <= set(first)
    assert set(first["predict_ms"]) == {"p50", "p99"}
    assert len({replica["id"] for replica in first["replicas"]}) == 2
    assert 0 < first["log_loss"] < 1
    assert Path(first["figure"]).read_bytes().startswith(PNG)
    assert "FAILS" not in output
    assert first["offline_digest"][:32] in output

    second, _ = run(directory, "--events", "200", "--replicas", "1")
    assert_consistent(second, 800)
    assert second["served"] == 200
    assert len(second["replicas"]) == 1
    assert second["offline_digest"] != first["offline_digest"]

    fresh, _ = run(directory, "--events", "150", "--fresh")
    assert_consistent(fresh, 150)


def test_ctrl_c_ends_everything_and_the_next_run_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with demo("--dir", directory, "--events", "100000") as running:
        wait_for_version(directory, 100, running)
        children = children_of(running)
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGINT)  # an impatient user
        output = finish(running)
    assert running.returncode == 130, output
    assert "Traceback" not in output
    assert output.count("Interrupted") == 1
    assert_gone(children)

    report, _ = run(directory, "--events", "100")
    assert report["version"] >= 200
    assert_consistent(report, report["version"])
    assert report["served"] == 100


def test_a_replica_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with demo("--dir", directory, "--events", "100000") as running:
        wait_for_version(directory, 50, running)
        children = children_of(running)
        next(child for child in children if "serve" in child.cmdline()).kill()
        output = finish(running)
    assert running.returncode == 2, output
    assert re.search(r"replica [12] ended by itself with code -9", output)
    assert "at http://" in output
    assert "Traceback" not in output
    assert_gone(children)


def test_what_a_killed_demo_started_ends_with_it(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with demo("--dir", directory, "--events", "100000") as running:
        wait_for_version(directory, 50, running)
        children = children_of(running)
        running.kill()
        running.wait()
    assert len(children) >= 5
    assert_gone(children)


def test_a_kept_demo_prints_where_it_is_and_refuses_a_second_on_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with demo("--dir", directory, "--events", "50", "--keep", "--replicas", "1") as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = running.stdout.readline()
            assert line, said
            said += line
        url = re.search(r"replica 1: (http://[\d.:]+)/", said)
        assert url, said
        assert status(url[1])["version"] == 50
        children = children_of(running)

        with demo("--dir", directory) as second:
            assert "another demo is using" in finish(second)
        assert second.returncode == 2

        running.send_signal(signal.SIGINT)
        output = finish(running)
    assert running.returncode == 0, said + output
    assert_gone(children)


@pytest.mark.parametrize(
    "arguments", [("--events", "0"), ("--port", "65535", "--replicas", "2"), ("--replicas", "many")]
)
def test_wrong_use_is_one_clear_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with demo("--dir", tmp_path / "data", *arguments) as running:
        output = finish(running)
    assert running.returncode == 2
    assert "expected" in output
    assert "Traceback" not in output
