"""R5: concurrent predictions and feedback over three replicas are linearizable; no answer is stale."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from redis_proxy import RedisProxy

from fire.cluster import Cluster
from fire.counter import Operation, check
from fire.load import Caller
from fire.row_threads import histories
from fire.waiting import wait_until

REPLICAS = 3
CALLERS = 6
PAUSE_S = (0.01, 0.15)  # a replica is stopped for that long, with requests in it


def order(seed: int, directory: Path, *, count: int = 50, operations: int = 5_000) -> Counter[str]:
    """One history of real processes, the others of threads."""
    landed = linearizable(seed, directory / "processes", operations=operations)
    landed["histories"] += 1
    return landed + histories(seed, directory / "threads", count=count - 1, operations=operations)


def linearizable(seed: int, directory: Path, *, operations: int) -> Counter[str]:
    """Real processes under load, while one replica after the other is stopped and continued."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory) as cluster, ExitStack() as parts:
        cluster.start_replicas(REPLICAS)
        callers = [
            parts.enter_context(Caller(cluster.replicas, seed * 100 + number, feedback_share=0.3))
            for number in range(CALLERS)
        ]
        while sum(len(caller.history) for caller in callers) < operations:
            victim = chance.choice(cluster.replicas)
            os.kill(victim.pid, signal.SIGSTOP)
            time.sleep(chance.uniform(*PAUSE_S))
            os.kill(victim.pid, signal.SIGCONT)
            landed["replica paused"] += 1
            time.sleep(chance.uniform(*PAUSE_S))
            for caller in callers:
                assert caller.is_alive(), caller.finish()
        history = _finish(callers, landed)
        violations = check(history)
        assert not violations, f"{len(violations)} violations, such as {violations[:5]}"
        feedback = {each.version for each in history if each.kind == "feedback"}
        assert feedback == set(range(1, cluster.version() + 1)), "every version is one acknowledged feedback"
    landed["operations"] = len(history)
    return landed


def planted_stale_answers(seed: int, directory: Path) -> Counter[str]:
    """The check finds stale answers: one replica is cut off from Redis and answers what it last knew, while
    the other goes on learning."""
    landed: Counter[str] = Counter()
    with Cluster(directory, policy="stale") as cluster, ExitStack() as parts:
        proxy = parts.enter_context(RedisProxy(cluster.redis.port))
        cluster.start_replicas(1)
        cluster.replicas.append(cluster.start_replica(redis_url=proxy.url))
        cluster.wait_for_replicas()
        callers = [
            parts.enter_context(Caller([each], seed, feedback_share=share))
            for each, share in zip(cluster.replicas, (0.5, 0.0), strict=True)
        ]
        wait_until(lambda: len(callers[1].history) > 100, "both answer")
        proxy.cut()
        before = len(callers[0].history)
        wait_until(lambda: len(callers[0].history) > before + 20, "the other goes on learning")
        stale = callers[1].counts["stale"]
        wait_until(lambda: callers[1].counts["stale"] > stale + 60, "it answers what it last knew")
        history = _finish(callers, landed)
        assert check(history) == [], "answers that say that they may be stale promise nothing"
        landed["found"] = len(check(history, believe_marks=False))
        assert landed["found"] >= 50, "the check missed stale answers"
    return landed


def _finish(callers: list[Caller], landed: Counter[str]) -> list[Operation]:
    for caller in callers:
        caller.finish()
        landed.update(caller.counts)
    return [operation for caller in callers for operation in caller.history]
