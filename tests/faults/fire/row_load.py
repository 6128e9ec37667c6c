"""R18: load is held; nobody is refused, replicas keep up, memory stays, on however busy a machine."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from fire.audit import audit
from fire.cluster import Cluster
from fire.load import Caller, KafkaSender
from fire.process import Process
from fire.waiting import wait_until

CALLERS = 4
KAFKA_PER_SECOND = 200
SNAPSHOT_EVERY = 300
WARM_EVENTS = 2 * SNAPSHOT_EVERY + 100  # by then snapshots have been saved and verified, too
GROWTH_MAX = 1.2  # resident memory at the end over that after warm-up
LOOK_EVERY_S = 0.5
PATIENT_S = 25.0  # an answer may be late on a busy machine: here only a wrong one is an error


def held(seed: int, directory: Path, *, seconds: float = 8) -> Counter[str]:
    """Predictions and feedback by REST and by Kafka at once, on two replicas, for so long after a warm-up."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with (
        Cluster(directory, snapshot_every=SNAPSHOT_EVERY, deadline_s=PATIENT_S) as cluster,
        ExitStack() as parts,
    ):
        consumer = cluster.start_consumer()
        replicas = cluster.start_replicas(2)
        callers = [
            parts.enter_context(Caller(replicas, seed * 100 + number, feedback_share=0.2, pause_s=0.005))
            for number in range(CALLERS)
        ]
        kafka = parts.enter_context(
            KafkaSender(cluster.broker.bootstrap, chance.getrandbits(30), rate=KAFKA_PER_SECOND)
        )
        cluster.wait_for_version(WARM_EVENTS)
        _keep_up(cluster, replicas)
        watched = [*replicas, consumer]
        warm = [_memory_bytes(process) for process in watched]
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            landed["most behind"] = max(landed["most behind"], _keep_up(cluster, replicas))
            time.sleep(LOOK_EVERY_S)
        for sender in (*callers, kafka):
            sender.finish()
            landed.update(sender.counts)
        accepted = [*kafka.delivered, *(each for caller in callers for each in caller.acknowledged)]
        audit(cluster, accepted)
        for process, before in zip(watched, warm, strict=True):
            grown = _memory_bytes(process) / before
            landed["memory, % of warm"] = max(landed["memory, % of warm"], round(100 * grown))
            assert grown <= GROWTH_MAX, f"{process.name} has {grown:.2f} times the memory it had when warm"
        refused = {
            kind: count for kind, count in landed.items() if kind.startswith(("predict ", "feedback "))
        }
        assert set(refused) == {"predict 200"}, f"somebody was refused: {refused}"
        landed.update(_latency(callers))
    landed["events"] = len(set(accepted))
    landed["seconds"] += round(seconds)
    return landed


def _keep_up(cluster: Cluster, replicas: Sequence[Process]) -> int:
    """Wait until every replica has learned what is in the log now; how far behind the last one was."""
    head, behind = cluster.version(), 0
    for replica in replicas:
        behind = max(behind, head - cluster.rest.status(replica.url)["version"])
        wait_until(
            lambda r=replica: cluster.rest.status(r.url)["version"] >= head,  # type: ignore[misc]
            f"{replica.name} has learned version {head}",
        )
    return behind


def _memory_bytes(process: Process) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)


def _latency(callers: Sequence[Caller]) -> Counter[str]:
    """The 99th percentile of predictions, of the first and of the last third: told, not judged."""
    spent = sorted(
        (each.began, each.ended - each.began)
        for caller in callers
        for each in caller.history
        if each.kind == "predict"
    )
    third = len(spent) // 3
    parts = {"first": spent[:third], "last": spent[-third:]}
    return Counter(
        {
            f"p99 of the {name} third, us": round(1e6 * sorted(s for _, s in part)[int(0.99 * len(part))])
            for name, part in parts.items()
        }
    )
