"""R1: kill -9 of a replica, the consumer or Redis at random moments, under load from REST and Kafka."""

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from apache_kafka import ApacheKafka

from fire.audit import audit
from fire.cluster import Cluster
from fire.counter import check
from fire.load import Caller, KafkaSender
from fire.waiting import wait_for_count

VICTIMS = ("replica", "consumer", "redis")
CALLERS = 3
KAFKA_PER_S = 2_000  # more than is learned while somebody is dead, so that every start meets a backlog


def kills(
    seed: int,
    directory: Path,
    *,
    count: int = 6,
    events: int = 1_000,
    product: str = "valkey",
    kafka: str = "embedded",
) -> Counter[str]:
    """`count` kills while at least `events` events are learned. Feedback by REST is acknowledged by Redis
    alone (`appendfsync always`). A real Apache Kafka is killed, too; the embedded broker keeps everything in
    memory."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    kinds = VICTIMS if kafka == "embedded" else (*VICTIMS, "kafka")
    victims = [kinds[number % len(kinds)] for number in range(count)]
    chance.shuffle(victims)
    with Cluster(directory, product, kafka=kafka, snapshot_every=1_000) as cluster, ExitStack() as senders:
        cluster.start_consumer()
        cluster.start_replicas(2)
        callers = [Caller(cluster.replicas, seed * 100 + number, pause_s=0.01) for number in range(CALLERS)]
        producer = KafkaSender(cluster.broker.bootstrap, seed, rate=KAFKA_PER_S, events_max=events * 9 // 10)
        for sender in (*callers, producer):
            senders.enter_context(sender)
        # Sorted moments of the log, so that each kill meets work under way.
        for victim, moment in zip(victims, sorted(chance.choices(range(events), k=count)), strict=True):
            _wait_for(cluster, moment)
            _strike(victim, cluster, chance, landed)
        _wait_for(cluster, events)
        producer.join()
        for sender in (*callers, producer):
            sender.finish()
        accepted = [
            *producer.delivered,
            *(event_id for caller in callers for event_id in caller.acknowledged),
        ]
        _wait_for(cluster, len(set(accepted)))
        audit(cluster, accepted)
        violations = check(operation for caller in callers for operation in caller.history)
        assert not violations, violations[:5]
        counts = sum((caller.counts for caller in callers), Counter(producer.counts))
    landed["events"] = len(set(accepted))
    return landed + counts


def _wait_for(cluster: Cluster, version: int) -> None:
    """Until the log is there; what has ended is started again. Nobody waits until everybody serves: who is
    killed next may be starting."""

    def supervised() -> int:
        cluster.supervise()
        return cluster.version()

    wait_for_count(supervised, version, "versions under load")


def _strike(victim: str, cluster: Cluster, chance: random.Random, landed: Counter[str]) -> None:
    """Kill one and start it again."""
    if victim == "redis":
        cluster.redis.kill()
        cluster.redis.start()
        landed["redis killed"] += 1
    elif victim == "kafka":
        assert isinstance(cluster.broker, ApacheKafka)
        cluster.broker.kill()
        cluster.broker.start()
        landed["kafka killed"] += 1
    else:
        cluster.supervise()
        chosen = chance.choice(cluster.consumers if victim == "consumer" else cluster.replicas)
        landed[f"{victim} killed"] += chosen.kill()
        cluster.supervise()
