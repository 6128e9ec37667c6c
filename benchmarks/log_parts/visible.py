"""Feedback acknowledged → visible in each of three replicas, every one in a process of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

from log_parts.scene import appends, events, new_log, percentile, server

REPLICAS = 3
RATE = 1_000  # events a second
SPARE_S = 120.0  # for processes to start and end


def measure(size: float) -> dict[str, float]:
    """Append at a steady rate; each replica notes when it first answers at a version, this process when that
    version was acknowledged (one monotonic clock for all). Beside them a process that only sleeps tells how
    late the machine wakes anybody at all."""
    count = max(int(RATE * 10 * size), 200)
    items = appends(events(count))
    with server() as (running, client):
        log = new_log(client, "visible")
        command = [sys.executable, str(Path(__file__).with_name("watcher.py"))]
        replicas = [_start([*command, running.url, "visible", str(count)]) for _ in range(REPLICAS)]
        sleeper = _start([*command, "sleep"])
        try:
            for process in (*replicas, sleeper):
                assert process.stdout is not None
                process.stdout.readline()  # it is ready
            acknowledged = []
            begun = time.monotonic()
            for number, item in enumerate(items):
                time.sleep(max(begun + number / RATE - time.monotonic(), 0.0))
                log.append(item)
                acknowledged.append(time.monotonic())
            rate = count / (acknowledged[-1] - begun)
            seen = [json.loads(process.communicate(timeout=SPARE_S)[0]) for process in replicas]
            jitter = json.loads(sleeper.communicate("stop\n", timeout=SPARE_S)[0])
        finally:
            for process in (*replicas, sleeper):
                process.kill()
                process.wait()
    late = sorted(max(times[n] for times in seen) - acknowledged[n] for n in range(count))
    return {
        "events/s while watching": rate,
        "acknowledged to visible in all 3, p50, ms": percentile(late, 0.5) * 1e3,
        "acknowledged to visible in all 3, p99, ms (goal 5)": percentile(late, 0.99) * 1e3,
        "how late the machine wakes a sleeper, p50, ms": percentile(jitter, 0.5) * 1e3,
        "how late the machine wakes a sleeper, p99, ms": percentile(jitter, 0.99) * 1e3,
    }


def _start(command: list[str]) -> "subprocess.Popen[str]":
    folder = Path(__file__).parents[1]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
