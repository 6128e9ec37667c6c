"""R13: a lock holder that sleeps through its lease, at each step of what is done under the version lock."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis_proxy import RedisProxy

from fire.audit import one_digest
from fire.cluster import NAME, Cluster
from fire.process import Process
from fire.row_pauses import oldest, send
from fire.waiting import DEADLINE_S, wait_until
from hedge_model import HedgeLearner, ModelSpec
from odl.config import load_config
from odl.folds import Folds
from odl.lifecycle import LEASE_MS, Lifecycle
from odl.redis_functions import source_of
from odl.redis_keys import RedisKeys
from odl.redis_lock import RedisLock
from odl.redis_snapshots import RedisSnapshots

SNAPSHOT_EVERY = 30
SENT_MAX = 1_000  # events after which whatever needs snapshots must have begun
RETAIN = "retain = 10"

Matches = Callable[[bytes], bool]


def _runs(script: str) -> Callable[[], Matches]:
    sha = hashlib.sha1(source_of(script), usedforsecurity=False).hexdigest().encode()
    return lambda: lambda chunk: sha in chunk


def _writes_bytes() -> Matches:
    return lambda chunk: b"HSET" in chunk and b":snapshot:" in chunk


def _reads_bytes() -> Matches:
    return lambda chunk: b"HGET\r" in chunk and b":snapshot:" in chunk


def _reads_back() -> Matches:
    """Reading of what was written, not of an older snapshot."""
    writes, reads, written = _writes_bytes(), _reads_bytes(), False

    def matches(chunk: bytes) -> bool:
        nonlocal written
        written = written or writes(chunk)
        return written and reads(chunk)

    return matches


SAVE: dict[str, Callable[[], Matches]] = {
    "before the bytes are written": _writes_bytes,
    "before they are read back": _reads_back,
    "before they become visible": _runs("commit_snapshot"),
}
RELEASE = {"before the lock is given back": _runs("release")}
PREPARE = {"before an older snapshot is loaded": _reads_bytes}
DECIDE = {"before the decision is appended": _runs("append_control")}
STEPS: Mapping[str, Mapping[str, Callable[[], Matches]]] = {
    "snapshot": SAVE | RELEASE,
    "trim": {"before entries go": _runs("trim")} | RELEASE,
    "promote": PREPARE | DECIDE | SAVE | RELEASE,
    "rollback": PREPARE | {"before the lease is extended": _runs("renew")} | DECIDE | SAVE | RELEASE,
}
DECISIONS = ("promote", "rollback")
BEFORE = {*PREPARE, *DECIDE, "before the lease is extended"}  # then nothing was decided
REFUSALS = ("was refused", "has ended")  # of a write, of an extension


@dataclass(frozen=True, slots=True)
class State:
    """What only a holder of the version lock may change."""

    snapshots: tuple[object, ...]
    first: int  # version with which the log begins
    head: object
    control: int  # version of the last decision
    holder: object


def paused_holder(seed: int, directory: Path) -> Counter[str]:
    """Whoever holds the version lock is stopped at each step in turn, until its lease has ended and somebody
    else has saved under a newer one; then it is continued, and what it was about to write arrives. Nothing of
    it may change anything, not even the newer holder's lock."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    steps = [(task, step) for task, steps in STEPS.items() for step in steps]
    chance.shuffle(steps)
    with Cluster(directory, snapshot_every=SNAPSHOT_EVERY) as cluster:
        cluster.start_consumer()
        accepted = send(cluster, chance, 40)
        for task, step in steps:
            accepted += _pause_at(task, step, cluster, chance)
            landed[f"{task} stopped {step}"] += 1
            landed["stale writes refused"] += 1
        cluster.start_replicas(1)
        version = cluster.version()
        wait_until(lambda: cluster.rest.status(cluster.replicas[0].url)["version"] == version, "it is there")
        one_digest(cluster, cluster.replicas)
        in_force = sum(task in DECISIONS and step not in BEFORE for task, step in steps)
        assert version == len(accepted) + in_force, (
            f"{len(accepted)} events and {in_force} decisions make {version} versions: lost, or doubled"
        )
    return landed


def _pause_at(task: str, step: str, cluster: Cluster, chance: random.Random) -> list[str]:
    """One holder and one step; the events that were sent meanwhile."""
    lock = RedisLock(cluster.redis.client, NAME)
    with RedisProxy(cluster.redis.port) as proxy:
        is_step, is_begun = STEPS[task][step](), _begins(task)
        # Only what this holder does: the first look at a lock that is another's passes.
        proxy.hold_at = lambda chunk: is_step(chunk) and is_begun(lock)
        holder, accepted = _begin(task, cluster, chance, proxy)
        holder.pause()
        cluster.redis.client.pexpire(RedisKeys(NAME).lock, 1)  # its lease ends: half a minute in one step
        wait_until(lambda: lock.holder() is None, "the lease has ended")
        accepted += send(cluster, chance, 10)
        _save_by_another(cluster)
        newer = lock.acquire("a newer holder", LEASE_MS)
        assert newer is not None
        before = _state(cluster)
        proxy.hold_at = None
        proxy.release.set()
        holder.resume()
        assert proxy.passed.wait(DEADLINE_S), "what it was about to write did not arrive"
        for _ in range(2):  # the server has looked at every connection twice
            cluster.redis.client.ping()
        if step not in RELEASE:
            wait_until(lambda: _is_told(holder), "it is told")
        assert _state(cluster) == before, f"a stale write of a {task} was accepted, stopped {step}"
        lock.release(newer)
        holder.stop()
    return accepted


def _is_told(holder: Process) -> bool:
    """Whether it knows that it came too late; an operator may find that its past is gone, and give up."""
    return holder.exit_code == 2 or any(each in holder.said() for each in REFUSALS)


def _begins(task: str) -> Callable[[RedisLock], bool]:
    """Whether the lock is held for this task."""
    word = {"promote": "promotion"}.get(task, task)

    def is_held(lock: RedisLock) -> bool:
        held = lock.holder()
        return held is not None and held.owner.startswith(f"{word} by")

    return is_held


def _begin(
    task: str, cluster: Cluster, chance: random.Random, proxy: RedisProxy
) -> tuple[Process, list[str]]:
    """A process that does the task through the proxy, once it waits at the step; and the events sent."""
    accepted: list[str] = []
    if task in DECISIONS:
        version = cluster.version()
        arguments = ["--from", str(version - 3)] if task == "promote" else ["--to", str(version - 5)]
        model = ["--model", str(cluster.model_file()), "--redis", proxy.url, "--yes", "--json"]
        holder = cluster.start(task, task, *model, *arguments)
    else:
        log = RETAIN if task == "trim" else ""
        holder = cluster.start_replica(redis_url=proxy.url, log=log)
        wait_until(lambda: holder.url or holder.check(), "it serves")
        while not proxy.held.wait(1.0):  # a look a second
            assert len(accepted) < SENT_MAX, f"no {task} after {len(accepted)} events"
            accepted += send(cluster, chance, SNAPSHOT_EVERY + 5)
    wait_until(lambda: proxy.held.is_set() or holder.check(), f"the holder is at its step of a {task}")
    return holder, accepted


def _save_by_another(cluster: Cluster) -> None:
    """An operator in this process saves the newest version."""
    client = cluster.redis.client
    store, lock = RedisSnapshots(client, NAME), RedisLock(client, NAME)
    spec = ModelSpec.from_dict(load_config(cluster.model_file()).model)
    folds = Folds(partial(HedgeLearner, spec), HedgeLearner.from_bytes, cluster.log, store, _learner_of)
    operator = Lifecycle(
        folds, HedgeLearner.from_bytes, store, lock, spec=spec.to_dict(), by="another operator"
    )
    saved = operator.snapshot()
    assert store.list()[0] == saved


def _learner_of(spec: dict[str, object]) -> HedgeLearner:
    return HedgeLearner(ModelSpec.from_dict(spec))


def _state(cluster: Cluster) -> State:
    client, log = cluster.redis.client, cluster.log
    return State(
        tuple(RedisSnapshots(client, NAME).list()),
        oldest(cluster),
        log.head(),
        log.counters().control,
        RedisLock(client, NAME).holder(),
    )
