"""Memory of a process that serves: ours, against seldon-core's worker with the same network in Keras.

Ours has the packages of its lock, as its image does, where those can be had, else those of the benchmarks.
"""

import sys
import tempfile
from pathlib import Path

from odl.embedded_redis import EmbeddedRedis
from serving_parts.against import FEEDBACK, PREDICT
from serving_parts.locked import locked_python
from serving_parts.servers import feedback_body, ours, post, predict_body, theirs

REQUESTS = 2_000  # on both sides first, so that whatever is allocated under way is there


def measure(size: float) -> dict[str, float]:
    """Resident memory after the same requests; ours has also learned from as many events as it was asked."""
    with tempfile.TemporaryDirectory(prefix="odl-bench-") as name:
        folder, requests = Path(name), max(int(REQUESTS * size), 5)
        python = locked_python()
        with (
            EmbeddedRedis(folder / "redis") as redis,
            ours(folder, redis.url, python=python or sys.executable) as one,
        ):
            for number in range(requests):
                post(one.url + PREDICT, predict_body())
                post(one.url + FEEDBACK, feedback_body(f"event-{number}"))
            mine = one.memory_mb()
        with theirs(folder, "Network") as other:
            for _ in range(requests):
                post(other.url + PREDICT, predict_body())
            keras = other.memory_mb()
        with theirs(folder, "Nothing") as other:
            for _ in range(requests):
                post(other.url + PREDICT, predict_body())
            nothing = other.memory_mb()
    return {
        "memory of a serving process: ours has the packages of its lock alone": float(python is not None),
        "memory of a serving process, MB: ours": mine,
        "memory of a serving process, MB: theirs with the network in Keras": keras,
        "memory of a serving process, MB: theirs around a model that does nothing": nothing,
        "memory of a serving process: ratio (goal 0.5)": mine / keras,
    }
