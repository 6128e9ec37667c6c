"""Ours, which checks the head and predicts, against seldon-core's server around a model that does nothing.

The server under test has one core to itself (the other server is idle then); client and Redis have the other.
"""

import tempfile
from pathlib import Path

from odl.embedded_redis import EmbeddedRedis
from serving_parts.cores import CLIENT
from serving_parts.load import ID, Load, Measured, compared, in_turns
from serving_parts.servers import Server, feedback_body, ours, pin, predict_body, theirs

ROUNDS = 9
SECONDS = 1.0  # of one round of one server
MANY = 64  # connections
PREDICT, FEEDBACK = "/api/v1.0/predictions", "/api/v1.0/feedback"


def measure(size: float) -> dict[str, float]:
    """Ratios of medians in turns: latency of one connection, throughput of 64, processor time a request."""
    rounds, seconds = max(round(ROUNDS * size), 1), max(SECONDS * size, 0.3)
    with (
        tempfile.TemporaryDirectory(prefix="odl-bench-") as name,
        EmbeddedRedis(Path(name) / "redis", appendfsync="always") as redis,
    ):
        folder = Path(name)
        pin(redis.pid, CLIENT)
        predict = Load(folder, PREDICT, predict_body(), CLIENT)
        feedback = Load(folder, FEEDBACK, feedback_body(ID), CLIENT)
        with theirs(folder, "Nothing") as other, ours(folder, redis.url) as one:

            def pairs(load: Load, connections: int) -> list[tuple[Measured, Measured]]:
                def on(server: Server) -> Measured:
                    return load.on(server, connections, seconds)

                return in_turns(rounds, lambda: on(one), lambda: on(other))

            found: dict[str, float] = {}
            for title, load, connections, p50_goal, rate_goal in (
                ("predict, 1 connection", predict, 1, " (goal 0.6)", ""),
                (f"predict, {MANY} connections", predict, MANY, "", " (goal 5)"),
                ("feedback, 1 connection", feedback, 1, " (goal 0.6)", ""),
                (f"feedback, {MANY} connections", feedback, MANY, "", ""),
            ):
                measured = pairs(load, connections)
                found |= compared(f"{title}, p50 ms", measured, lambda each: each.p50_ms, p50_goal)
                found |= compared(f"{title}, req/s", measured, lambda each: each.rate, rate_goal)
                found |= compared(f"{title}, cpu us a request", measured, lambda each: each.cpu_us)
    return found
