"""Two replicas of one log on two cores against one: does the second one add what it should?

Two cores leave none for the client alone, so client and server share one in both set-ups: alone, one replica
and its client have one core; together, each of two replicas and its client has a core of its own. Redis is on
the first core in both. So the client never is what the second replica waits for. Processor time says it
without the clock: the price of a request alone over its price together, summed over both.
"""

import os
import statistics
import tempfile
from pathlib import Path

from odl.embedded_redis import EmbeddedRedis
from serving_parts.against import PREDICT
from serving_parts.load import Load
from serving_parts.servers import ours, pin, predict_body

ROUNDS = 9
SECONDS = 1.0
CONNECTIONS = 64  # of each client


def measure(size: float) -> dict[str, float]:
    """Requests a second of both over one, in turns; nothing on a machine with a single core."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        return {}
    rounds, seconds = max(round(ROUNDS * size), 1), max(SECONDS * size, 0.3)
    with (
        tempfile.TemporaryDirectory(prefix="odl-bench-") as name,
        EmbeddedRedis(Path(name) / "redis") as redis,
        ours(Path(name), redis.url, cores[:1], "first") as first,
        ours(Path(name), redis.url, cores[1:], "second") as second,
    ):
        pin(redis.pid, cores[:1])
        here, there = (Load(Path(name), PREDICT, predict_body(), [core]) for core in cores)
        for load, server in ((here, first), (there, second)):
            load.on(server, CONNECTIONS, seconds)  # does not count
        alone, together, prices = [], [], []
        for _ in range(rounds):
            single = here.on(first, CONNECTIONS, seconds)
            running = [
                load.start(server, CONNECTIONS, seconds) for load, server in ((here, first), (there, second))
            ]
            both = [here.finish(first, running[0]), there.finish(second, running[1])]
            alone.append(single.rate)
            together.append(sum(each.rate for each in both))
            prices.append(sum(single.cpu_us / each.cpu_us for each in both))
    ratios = [both / one for both, one in zip(together, alone, strict=True)]
    return {
        "one replica on one core, req/s": statistics.median(alone),
        "two replicas on two cores, req/s": statistics.median(together),
        "two replicas over one, req/s: ratio (goal 1.7)": statistics.median(ratios),
        "two replicas over one, by processor time a request": statistics.median(prices),
    }
