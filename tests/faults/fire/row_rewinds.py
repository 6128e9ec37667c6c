"""R2: Redis loses acknowledged history; Kafka has it, so the log is filled again and nobody serves the lost
branch."""

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from fire.audit import audit, settle
from fire.cluster import Cluster
from fire.load import Caller, KafkaSender
from fire.waiting import wait_until
from odl.log import Head

KINDS = ("cut", "older", "flushed")
EVENTS = (150, 400)  # sent between two rewinds
CUT_BYTES = (2_000, 40_000)


def rewinds(seed: int, directory: Path, *, count: int = 3, product: str = "valkey") -> Counter[str]:
    """All feedback goes through Kafka first: by REST (`odl serve --kafka`) and directly."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    accepted: list[str] = []
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    chance.shuffle(kinds)
    with Cluster(directory, product, snapshot_every=200) as cluster:
        cluster.start_replicas(2, with_kafka=True)
        cluster.start_consumer()
        _load(cluster, chance, accepted, landed, None)
        for number, kind in enumerate(kinds):
            backup = directory / f"backup-{number}"
            _load(cluster, chance, accepted, landed, backup)
            before = cluster.log.head()
            _rewind(kind, cluster, chance, backup, before)
            landed[f"redis {kind}"] += 1
            _load(cluster, chance, accepted, landed, None)
            after = cluster.log.head()
            if after.epoch > before.epoch:
                landed["epoch raised"] += 1
            else:  # refilled with the very same history before anybody looked: nothing was lost then
                assert _chain_at(cluster, before.version) == before.chain, "another history, the same epoch"
                landed["refilled unseen"] += 1
        audit(cluster, accepted)
    landed["events"] = len(set(accepted))
    return landed


def _load(
    cluster: Cluster, chance: random.Random, accepted: list[str], landed: Counter[str], backup: Path | None
) -> None:
    """Send events by both ways and wait until every replica has learned them; `backup`: copy Redis's data to
    there in the middle."""
    seed = chance.getrandbits(30)
    version = cluster.version()
    with ExitStack() as senders:
        caller = senders.enter_context(Caller(cluster.replicas, seed))
        events = chance.randint(*EVENTS)
        kafka = KafkaSender(cluster.broker.bootstrap, seed, rate=1_000, events_max=events)
        senders.enter_context(kafka)
        if backup is not None:
            wait_until(lambda: cluster.version() > version + events // 3, "events arrive")
            cluster.redis.backup(backup)
        kafka.join()
        for sender in (kafka, caller):
            sender.finish()
    accepted += [*kafka.delivered, *caller.acknowledged]
    landed += caller.counts + kafka.counts
    settle(cluster, accepted)


def _rewind(kind: str, cluster: Cluster, chance: random.Random, backup: Path, before: Head) -> None:
    """Lose history that every replica has learned."""
    redis = cluster.redis
    if kind == "flushed":
        redis.client.flushall()
        return
    redis.kill()
    if kind == "older":
        redis.restore(backup)
    while True:
        if kind == "cut":
            redis.cut(chance.randint(*CUT_BYTES))
        with redis.elsewhere() as client:  # to look before the consumer can fill it again
            version = int(client.hget("{odl:fire}:head", "version") or 0)
        if version < before.version:
            break
        assert kind == "cut", "the backup is as new as what it replaced"
    redis.start()


def _chain_at(cluster: Cluster, version: int) -> str:
    part = cluster.log.read(version, 1)
    return part.entries[0].chain if part.entries else part.head.chain
