"""Plays a cluster's life on one machine and audits it: what `make cluster` and the test run.

unshare --net -- python tests/k8s/run_cluster.py DIRECTORY [--seconds 60] [--seed 1]

Three replicas and two consumers at first; then under load a node is lost, replicas go 3, 1, 5, 2, all are
rolled, and rolled to another fold id. At the end nothing is lost or doubled, all replicas have the digest of
an offline fold, and every request was answered.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cluster import TOKEN, Cluster, wait_until
from cluster_load import Asker, KafkaSender


def differences(found: Sequence[str], sent: Sequence[str]) -> str:
    """What is wrong with the ids in the log, given those that were acknowledged; empty if nothing.

    >>> differences(["a", "b", "b"], ["a", "b", "c"])
    "learned twice: ['b']; lost: ['c']"
    """
    doubled = [each for each, count in Counter(found).items() if count > 1]
    lost, invented = sorted(set(sent) - set(found)), sorted(set(found) - set(sent))
    kinds = {"learned twice": doubled, "lost": lost, "invented": invented}
    return "; ".join(f"{kind}: {ids[:5]}" for kind, ids in kinds.items() if ids)


def audit(cluster: Cluster, sent: list[str]) -> dict[str, Any]:
    """Nothing lost, nothing doubled, nothing invented; every replica has the digest of an offline fold."""
    wait_until(lambda: cluster.log.head().version >= len(sent), f"the log has {len(sent)} events")
    assert not (wrong := differences(cluster.ids(), sent)), wrong
    head = cluster.log.head()
    offline = json.loads(cluster.odl("replay", "--json"))
    assert (offline["version"], offline["chain"]) == (head.version, head.chain)
    for replica in cluster.replicas:
        wait_until(lambda r=replica: cluster.status(r)["version"] == head.version, "a replica is at the head")  # type: ignore[misc]
        assert cluster.status(replica)["digest"] == offline["digest"], replica.log
    return {"version": head.version, "digest": offline["digest"], "replicas": len(cluster.replicas)}


def play(directory: Path, seconds: float, seed: int) -> dict[str, Any]:
    """All of it; what came of it."""
    with ExitStack() as parts:
        cluster = Cluster(directory, parts)
        cluster.consumers = [cluster.start("Deployment/odl-consumer", node) for node in cluster.nodes[:2]]
        starting = [cluster.start("Deployment/odl-replica", node) for node in cluster.nodes]
        for replica in starting:
            wait_until(lambda r=replica: r.probe("readinessProbe"), "a first replica is ready")  # type: ignore[misc]
        cluster.replicas = starting
        began = time.monotonic()
        urls = lambda: [each.url for each in cluster.replicas]  # noqa: E731 - asked for anew at each request
        asker = parts.enter_context(Asker(urls, TOKEN, seed))
        sender = parts.enter_context(KafkaSender(cluster.broker.bootstrap, cluster.config.kafka.topic, seed))
        cluster.lose_node()
        audited = 0
        while not audited or time.monotonic() - began < seconds:
            for count in (1, 5, 2):
                cluster.scale(count)
            cluster.roll()
            audited += 1
        cluster.roll_to_another_fold()
        asker.finish()
        sender.finish()
        verdict = audit(cluster, asker.acknowledged + sender.delivered)
        return {**verdict, **asker.counts, "by Kafka": len(sender.delivered), "rounds": audited}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="go on scaling and rolling for so long (0: once)"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    print(json.dumps(play(args.directory.resolve(), args.seconds, args.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
