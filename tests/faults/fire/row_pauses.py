"""R12: a replica that sleeps through a trim."""

import random
from collections import Counter
from pathlib import Path

from fire.cluster import NAME, Cluster
from fire.load import KafkaSender
from fire.waiting import wait_until
from odl.redis_keys import RedisKeys
from odl.redis_snapshots import RedisSnapshots

SNAPSHOT_EVERY = 150
TRIMMED_BY = 3_000  # snapshots and heartbeats are looked at once a second; by then a trim has come


def trimmed_past(seed: int, directory: Path) -> Counter[str]:
    """R12: a replica is stopped, the log goes on and is trimmed under snapshots; then it is continued."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory, snapshot_every=SNAPSHOT_EVERY, log="retain = 100") as cluster:
        rest = cluster.rest
        cluster.start_consumer()
        awake, asleep = cluster.start_replicas(2)
        accepted = send(cluster, chance, 100)
        wait_until(lambda: rest.status(asleep.url)["version"] >= 100, "it has learned something")
        asleep.pause()
        stopped_at = cluster.version()
        while oldest(cluster) <= stopped_at + 1:
            assert len(accepted) < TRIMMED_BY, f"the log still begins at version {oldest(cluster)}"
            accepted += send(cluster, chance, SNAPSHOT_EVERY + 10)
            _wait_for_snapshot(cluster, above=len(accepted) - SNAPSHOT_EVERY)
        landed["trimmed"] = oldest(cluster) - 1
        accepted += send(cluster, chance, 20)
        asleep.resume()
        wait_until(lambda: rest.status(asleep.url)["version"] == len(accepted), "it is back")
        wait_until(lambda: rest.status(awake.url)["version"] == len(accepted), "the other one, too")
        status, other = rest.status(asleep.url), rest.status(awake.url)
        assert (status["version"], status["digest"]) == (other["version"], other["digest"])
        assert status["resets"] == 0, "nothing was lost: it went on from a snapshot"
        landed["rejoined"] += 1
    return landed


def oldest(cluster: Cluster) -> int:
    """The version with which the log begins."""
    [(stream_id, _)] = cluster.redis.client.xrange(RedisKeys(NAME).log, count=1)
    return int(stream_id.split(b"-")[0])


def _wait_for_snapshot(cluster: Cluster, above: int) -> None:
    store = RedisSnapshots(cluster.redis.client, NAME)
    wait_until(lambda: any(each.version > above for each in store.list()), f"a snapshot above {above}")


def send(cluster: Cluster, chance: random.Random, events: int) -> list[str]:
    """So many new events, until all are in the log."""
    version = cluster.version()
    with KafkaSender(cluster.broker.bootstrap, chance.getrandbits(30), events_max=events) as kafka:
        kafka.join()
        kafka.finish()
    cluster.wait_for_version(version + events)
    return sorted(set(kafka.delivered))
