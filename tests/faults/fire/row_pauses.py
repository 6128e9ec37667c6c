"""R12, R13: a replica that sleeps through a trim, a lock holder that sleeps through its lease."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from redis_proxy import RedisProxy

from fire.audit import audit
from fire.cluster import NAME, Cluster
from fire.load import KafkaSender
from fire.waiting import wait_until
from hedge_model import HedgeLearner, ModelSpec
from odl.config import load_config
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock
from odl.redis_snapshots import RedisSnapshots
from odl.replica import Replica
from odl.snapshots import Snapshot
from odl.snapshotter import save_now

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
        accepted = _send(cluster, chance, 100)
        wait_until(lambda: rest.status(asleep.url)["version"] >= 100, "it has learned something")
        asleep.pause()
        stopped_at = cluster.version()
        while _oldest(cluster) <= stopped_at + 1:
            assert len(accepted) < TRIMMED_BY, f"the log still begins at version {_oldest(cluster)}"
            accepted += _send(cluster, chance, SNAPSHOT_EVERY + 10)
            _wait_for_snapshot(cluster, above=len(accepted) - SNAPSHOT_EVERY)
        landed["trimmed"] = _oldest(cluster) - 1
        accepted += _send(cluster, chance, 20)
        asleep.resume()
        wait_until(lambda: rest.status(asleep.url)["version"] == len(accepted), "it is back")
        wait_until(lambda: rest.status(awake.url)["version"] == len(accepted), "the other one, too")
        status, other = rest.status(asleep.url), rest.status(awake.url)
        assert (status["version"], status["digest"]) == (other["version"], other["digest"])
        assert status["resets"] == 0, "nothing was lost: it went on from a snapshot"
        landed["rejoined"] += 1
    return landed


def _oldest(cluster: Cluster) -> int:
    """The version with which the log begins."""
    [(stream_id, _)] = cluster.redis.client.xrange(RedisKeys(NAME).log, count=1)
    return int(stream_id.split(b"-")[0])


def _wait_for_snapshot(cluster: Cluster, above: int) -> None:
    store = RedisSnapshots(cluster.redis.client, NAME)
    wait_until(lambda: any(each.version > above for each in store.list()), f"a snapshot above {above}")


def _send(cluster: Cluster, chance: random.Random, events: int) -> list[str]:
    """So many new events, until all are in the log."""
    version = cluster.version()
    with KafkaSender(cluster.broker.bootstrap, chance.getrandbits(30), events_max=events) as kafka:
        kafka.join()
        kafka.finish()
    cluster.wait_for_version(version + events)
    return sorted(set(kafka.delivered))


def _save_by_another(cluster: Cluster) -> Snapshot:
    """A replica in this process that saves what it has learned; its snapshot."""
    store, client = RedisSnapshots(cluster.redis.client, NAME), cluster.redis.client
    spec = ModelSpec.from_dict(load_config(cluster.model_file()).model)
    with Replica(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, cluster.log, store) as replica:
        wait_until(lambda: replica.health().version == cluster.version(), "it is at the head")
        snapshot = save_now(replica, store, RedisLock(client, NAME), HedgeLearner.from_bytes)
    assert snapshot is not None, "the lock was free"
    return snapshot


def _is_blob_write(chunk: bytes) -> bool:
    return b"HSET" in chunk and b":snapshot:" in chunk


def _is_read_back(chunk: bytes) -> bool:
    return b"HGET\r" in chunk and b":snapshot:" in chunk


def _is_commit(chunk: bytes) -> bool:
    return b"EVAL" in chunk and b":snapshot:" in chunk


STEPS: dict[str, Callable[[bytes], bool]] = {
    "before the bytes are written": _is_blob_write,
    "before they are read back": _is_read_back,
    "before they become visible": _is_commit,
}


def paused_holder(seed: int, directory: Path) -> Counter[str]:
    """R13: `odl serve` takes the version lock for a snapshot and is stopped at each step in turn, until its
    lease has ended and another replica has saved a newer snapshot; then it is continued, and what it was
    about to write arrives. Nothing of it may become visible."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory, snapshot_every=SNAPSHOT_EVERY) as cluster:
        cluster.start_consumer()
        accepted = _send(cluster, chance, 20)
        for step in STEPS:
            accepted += _pause_at(step, cluster, chance, landed)
        cluster.start_replicas(1)
        audit(cluster, accepted)
    return landed


def _pause_at(step: str, cluster: Cluster, chance: random.Random, landed: Counter[str]) -> list[str]:
    """One holder and one step; the events that were sent meanwhile."""
    client = cluster.redis.client
    store, lock = RedisSnapshots(client, NAME), RedisLock(client, NAME)
    with RedisProxy(cluster.redis.port) as proxy:
        holder = cluster.start_replica(redis_url=proxy.url)
        wait_until(lambda: holder.url or holder.check(), "it serves")
        proxy.hold_at = STEPS[step]
        accepted = _send(cluster, chance, SNAPSHOT_EVERY + 10)
        wait_until(proxy.held.is_set, f"the holder is {step}")
        holder.pause()
        held = lock.holder()
        assert held is not None and str(holder.pid) in held.owner, f"the lock is held by {held}"
        client.pexpire(RedisKeys(NAME).lock, 1)  # its lease ends: half a minute in one step
        wait_until(lambda: lock.holder() is None, "the lease has ended")
        accepted += _send(cluster, chance, 10)
        newer = _save_by_another(cluster)
        before = store.list()
        assert before[0] == newer
        proxy.hold_at = None
        proxy.release.set()
        holder.resume()
        wait_until(lambda: "was refused" in holder.said(), "it is told")
        assert store.list() == before, f"a stale write was accepted, stopped {step}"
        landed[f"stopped {step}"] += 1
        landed["stale writes refused"] += 1
        holder.stop()
    return accepted
