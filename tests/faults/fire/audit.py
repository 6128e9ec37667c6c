"""The verdict at the end of a round: nothing lost, nothing doubled, nothing invented, one digest."""

from collections import Counter
from collections.abc import Iterable, Sequence

from fire.cluster import Cluster
from fire.process import Process
from fire.waiting import wait_until

SHOWN_MAX = 5


def settle(cluster: Cluster, accepted: Iterable[str]) -> None:
    """Wait until the log holds as many events as were accepted, and all replicas have learned them."""
    cluster.wait_for_version(len(set(accepted)))
    cluster.wait_for_replicas()
    rest, head = cluster.rest, cluster.log.head()
    for replica in cluster.replicas:
        wait_until(
            lambda r=replica: rest.status(r.url).get("chain") == head.chain,  # type: ignore[misc]
            f"{replica.name} has learned version {head.version}",
        )


def audit(cluster: Cluster, accepted: Sequence[str]) -> None:
    """Raise `AssertionError` unless the log holds every accepted id once and nothing else, and an offline
    fold of it has the digest of every replica."""
    settle(cluster, accepted)
    expected, found = set(accepted), Counter(event.id for event in cluster.events())
    doubled = [event_id for event_id, count in found.items() if count > 1]
    assert not doubled, f"{len(doubled)} events were learned twice, such as {doubled[:SHOWN_MAX]}"
    lost, invented = sorted(expected - set(found)), sorted(set(found) - expected)
    assert not lost, f"{len(lost)} accepted events are not in the log, such as {lost[:SHOWN_MAX]}"
    assert not invented, f"{len(invented)} events in the log were not accepted: {invented[:SHOWN_MAX]}"
    assert cluster.log.head().version == len(expected)
    one_digest(cluster, cluster.replicas)


def one_digest(cluster: Cluster, replicas: Sequence[Process]) -> None:
    """Raise `AssertionError` unless every replica has the digest of an offline fold."""
    offline, rest = cluster.replay(), cluster.rest
    for replica in replicas:
        status = rest.status(replica.url)
        assert (status["version"], status["digest"]) == (offline["version"], offline["digest"]), (
            f"{replica.name}: version {status['version']}, digest {status['digest'][:12]}; offline "
            f"{offline['version']}, {offline['digest'][:12]}"
        )
