"""R17: promotions and rollbacks while events flow and replicas serve: one winner, one meaning."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fire.audit import one_digest
from fire.cluster import NAME, Cluster
from fire.load import Caller, KafkaSender
from fire.waiting import DEADLINE_S, wait_until
from hedge_model import HedgeLearner, ModelSpec
from odl.config import load_config
from odl.control import is_control
from odl.errors import Superseded
from odl.event import decode
from odl.folds import Folds
from odl.lifecycle import Lifecycle
from odl.log import Entry, Head
from odl.redis_lock import RedisLock
from odl.redis_snapshots import RedisSnapshots

BETWEEN = (20, 120)  # events between two decisions
KINDS = (("promote", "promote"), ("rollback", "promote"), ("rollback", "rollback"))  # who competes
# Versions that a rollback takes away at most, and that a promotion goes back: it begins behind the decision
# before it, since one that begins where the last one did would change nothing and be refused.
BACK = {"rollback": 60, "promote": BETWEEN[0]}


def decisions(seed: int, directory: Path, *, count: int = 10) -> Counter[str]:
    """So often, two operators decide on the head that both saw: rollbacks, promotions, or one of each."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory, snapshot_every=200) as cluster, ExitStack() as senders:
        cluster.start_consumer()
        cluster.start_replicas(2)
        operators = [_operator(cluster, name) for name in ("one", "two")]
        caller = senders.enter_context(Caller(cluster.replicas, seed, pause_s=0.01))
        kafka = senders.enter_context(KafkaSender(cluster.broker.bootstrap, seed, rate=150))
        cluster.wait_for_version(
            max(BACK.values()) + 1
        )  # to leave out what is before version 0 changes nothing
        for number in range(count):
            cluster.wait_for_version(cluster.version() + chance.randint(*BETWEEN))
            kinds = KINDS[number % len(KINDS)]
            landed += _compete(operators, kinds, cluster.log.head(), chance)
        for sender in (kafka, caller):
            sender.finish()
            landed += sender.counts
        accepted = {*kafka.delivered, *caller.acknowledged}
        cluster.wait_for_version(len(accepted) + count)
        head = cluster.log.head()
        for replica in cluster.replicas:
            wait_until(
                lambda r=replica: cluster.rest.status(r.url).get("chain") == head.chain,  # type: ignore[misc]
                f"{replica.name} follows version {head.version}",
            )
        one_digest(cluster, cluster.replicas)
        entries = _entries(cluster)
        entered = Counter(decode(each.payload).id for each in entries if not is_control(each.payload))
        assert entered == Counter(accepted), "an event was lost or doubled beside the decisions"
        landed["decisions"] = len(entries) - entered.total()
        assert landed["decisions"] == count, f"{landed['decisions']} decisions entered, {count} were taken"
    return landed


def _operator(cluster: Cluster, name: str) -> Lifecycle:
    client = cluster.redis.client
    spec = ModelSpec.from_dict(load_config(cluster.model_file()).model)
    store, lock = RedisSnapshots(client, NAME), RedisLock(client, NAME)
    folds = Folds(
        partial(HedgeLearner, spec),
        HedgeLearner.from_bytes,
        cluster.log,
        store,
        lambda other: HedgeLearner(ModelSpec.from_dict(other)),
    )
    return Lifecycle(
        folds, HedgeLearner.from_bytes, store, lock, spec=spec.to_dict(), by=name, wait_s=DEADLINE_S
    )


def _compete(
    operators: list[Lifecycle], kinds: tuple[str, ...], seen: Head, chance: random.Random
) -> Counter[str]:
    """What both did; exactly one of them wins."""
    barrier = threading.Barrier(len(operators))
    plans = [(kind, chance.randint(1, BACK[kind])) for kind in kinds]

    def decide(operator: Lifecycle, kind: str, back: int) -> bool:
        barrier.wait(DEADLINE_S)
        version = max(0, seen.version - back)
        try:
            if kind == "rollback":
                operator.rollback(version, expected=seen)
            else:
                operator.promote(after=version, expected=seen)
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(len(operators)) as pool:
        tries = [pool.submit(decide, each, *plan) for each, plan in zip(operators, plans, strict=True)]
        won = [each.result(DEADLINE_S) for each in tries]
    assert sum(won) == 1, f"{sum(won)} of {len(won)} operators won, who had seen the same head"
    return Counter(
        f"{kind} {'won' if has_won else 'superseded'}" for (kind, _), has_won in zip(plans, won, strict=True)
    )


def _entries(cluster: Cluster) -> list[Entry]:
    found: list[Entry] = []
    while part := cluster.log.read(len(found), 1_000).entries[1 if found else 0 :]:
        found += part
    return found
