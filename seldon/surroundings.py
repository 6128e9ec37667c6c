"""What Redis holds beside the log's entries, read for `/metrics`: memory, snapshots, lock, other replicas."""

import time
from collections.abc import Callable, Sequence

import redis

from odl.lock import VersionLock
from odl.log import Log
from odl.redis_script import as_odl_error
from odl.replicas import ReplicaRecord, Replicas
from odl.snapshots import SnapshotStore


def surroundings(
    client: redis.Redis,
    log: Log,
    snapshots: SnapshotStore,
    lock: VersionLock,
    replicas: Replicas,
    replica_id: str,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> dict[str, float]:
    """All facts by name, see `seldon.monitor.FACTS_HELP`; a handful of round trips. Raises `Unavailable`."""
    facts = _server(client)
    head, counters = log.head(), log.counters()
    facts |= {
        "log_head_version": head.version,
        "log_duplicates": counters.duplicates,
        "log_passed_over": counters.skipped,
        "log_limit_used_ratio": log.fullness(),
    }
    kept = [each for each in snapshots.list() if each.log_id == head.log_id]
    facts |= {"snapshots": len(kept), "snapshot_behind": head.version - (kept[0].version if kept else 0)}
    if kept:
        facts |= {
            "snapshot_version": kept[0].version,
            "snapshot_age_seconds": max(0.0, (clock_ms() - kept[0].created_ms) / 1000),
            "snapshot_size_bytes": kept[0].size_bytes,
        }
    holder = lock.holder()
    here = holder is not None and replica_id in holder.owner
    facts |= {"lock_held": float(holder is not None), "lock_held_here": float(here)}
    if holder is not None:
        facts["lock_token"] = holder.token
    alive = replicas.list()
    return facts | {"replicas": len(alive), "replicas_diverged": diverged(alive)}


def diverged(records: Sequence[ReplicaRecord]) -> int:
    """How many replicas say something else than the first one at the same place of the same epoch: another
    chain, or another digest of the learner.

    >>> record = ReplicaRecord("r1", 7, 1, chain="c", digest="d", fold_id="f", url="", time_ms=0)
    >>> from dataclasses import replace
    >>> diverged([record, replace(record, id="r2"), replace(record, id="r3", digest="e")])
    1
    """
    chains: dict[tuple[int, int], str] = {}
    digests: dict[tuple[int, int, str], str] = {}
    count = 0
    for record in records:
        place = record.epoch, record.version
        other = chains.setdefault(place, record.chain) != record.chain
        if record.digest and not other:
            other = digests.setdefault((*place, record.fold_id), record.digest) != record.digest
        count += other
    return count


def _server(client: redis.Redis) -> dict[str, float]:
    try:
        began = time.perf_counter()
        client.ping()
        seconds = time.perf_counter() - began
        try:
            memory = client.info("memory")
        except redis.exceptions.NoPermissionError:  # INFO is a right that not every user has
            return {"redis_ping_seconds": seconds}
    except redis.exceptions.RedisError as error:
        raise as_odl_error(error, client) from error
    return {
        "redis_ping_seconds": seconds,
        "redis_memory_used_bytes": float(memory["used_memory"]),
        "redis_memory_max_bytes": float(memory.get("maxmemory", 0)),
    }
