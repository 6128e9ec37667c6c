"""Where the time of a prediction goes: py-spy's samples of the serving process, by what they were for.

Only samples with the interpreter's lock count, since that is what a Python process can run out of; the rest
of its processor time is granian's threads, which need no lock, and the kernel. Shares, not microseconds: a
thread that has the lock and waits for a core is sampled, too.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from odl.embedded_redis import EmbeddedRedis
from serving_parts.against import MANY, PREDICT
from serving_parts.cores import CLIENT
from serving_parts.load import Load
from serving_parts.servers import ours, pin, predict_body

SECONDS = 8.0
MARGIN_S = 2.0  # the load begins before the samples and ends after them
SAMPLES_PER_S = 200
# The first that matches a frame, the innermost frame first.
PURPOSES = {
    "head check: redis-py, socket": r"RedisLog\.read|RedisScript|Lines\.execute|redis/",
    "20 x 100 prediction": r"HedgeLearner\.",
    "checks of features": r"check_row|check_features",
    "body to message": r"MessageReader|decode_message|read_request|read_body",
    "answer to JSON": r"DataPlane\.answer|prediction_answer|Response\.json|new_puid",
    "metrics": r"seldon/metrics|prometheus",
    "hand-over between threads": r"Replica\.|Mailbox|Actor\.|Follower|outcome|_Bell",
    "routes, access": r"seldon/app\.py|seldon/guard|seldon/access",
    "asyncio, granian": r"asyncio|granian",
}


def measure(size: float) -> dict[str, float]:
    """The share of each purpose in the time under the lock; nothing without py-spy (extra `bench`)."""
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        return {}
    seconds = max(SECONDS * size, 1.0)
    figures: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="odl-bench-") as name,
        EmbeddedRedis(Path(name) / "redis") as redis,
        ours(Path(name), redis.url) as server,
    ):
        pin(redis.pid, CLIENT)
        load, out = Load(Path(name), PREDICT, predict_body(), CLIENT), Path(name) / "samples.txt"
        for connections in (1, MANY):
            load.on(server, connections, 1.0)
            running = load.start(server, connections, seconds + MARGIN_S)
            command = [spy, "record", "--pid", str(server.pid), "--gil", "--format", "raw"]
            command += ["--duration", str(round(seconds)), "--rate", str(SAMPLES_PER_S), "--output", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            measured = load.finish(server, running)
            if done.returncode:  # not allowed to look into another process
                return {}
            spent = sort_samples(out.read_text())
            title = f"profile, {connections} connection{'s' * (connections > 1)}"
            shares = {each: spent[each] / max(spent.total(), 1) for each in (*PURPOSES, "other")}
            figures |= {f"{title}: {purpose}, %": 100 * share for purpose, share in shares.items()}
            figures[f"{title}: processor time of the process, us"] = measured.cpu_us
    return figures


def sort_samples(raw: str) -> Counter[str]:
    """Samples of each purpose, of py-spy's raw format: `frame;frame;... count` a line.

    >>> sort_samples("run (asyncio/a.py:1);Actor.turn (odl/actor.py:9);RedisLog.read (odl/b.py:3) 7")
    Counter({'head check: redis-py, socket': 7})
    """
    spent: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        spent[purpose_of(stack.split(";"))] += int(count)
    return spent


def purpose_of(frames: list[str]) -> str:
    """What a stack was for."""
    for frame in reversed(frames):
        for purpose, pattern in PURPOSES.items():
            if re.search(pattern, frame):
                return purpose
    return "other"
