"""R15: one message in five cannot be learned; the others all are, each bad one is kept with its reason."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer

from fire.audit import audit
from fire.client import Rest
from fire.cluster import DEAD_TOPIC, TOPIC, Cluster
from fire.waiting import DEADLINE_S, wait_for_count
from odl.event import Event
from streaming.dead_letters import DeadLetter, read_dead_letters
from streaming.message import VALUE_BYTES_MAX, encode_value

SHARE = 0.2
HUGE_MAX = 2  # the embedded broker keeps 5 MiB of a partition

Poison = Callable[[str], bytes]

# Kind -> (reason to be told, message)
POISON: dict[str, tuple[str, Poison]] = {
    "bad JSON": ("MALFORMED", lambda event_id: b'{"id":"' + event_id.encode()),
    "not UTF-8": ("MALFORMED", lambda event_id: b'{"id":"\xff","x":{},"y":"no"}'),
    "NaN": ("MALFORMED", lambda event_id: b'{"id":"%s","x":{"n":NaN},"y":"no"}' % event_id.encode()),
    "1e400": ("NOT_FINITE", lambda event_id: b'{"id":"%s","x":{"n":1e400},"y":"no"}' % event_id.encode()),
    "an array": ("BAD_FIELD", lambda event_id: b"[1, 2, 3]"),
    "features in a list": ("BAD_FIELD", lambda event_id: b'{"id":"%s","x":[1],"y":"no"}' % event_id.encode()),
    "deep": ("BAD_FIELD", lambda event_id: b"[" * 2_000),
    "no id": ("NO_ID", lambda event_id: b'{"x":{"n":1},"y":"no"}'),
    "empty id": ("NO_ID", lambda event_id: b'{"id":"","x":{"n":1},"y":"no"}'),
    "unknown feature": (
        "BAD_FEATURES",
        lambda event_id: b'{"id":"%s","x":{"z":1},"y":"no"}' % event_id.encode(),
    ),
    "text for a number": (
        "BAD_FEATURES",
        lambda event_id: b'{"id":"%s","x":{"n":"one"},"y":"no"}' % event_id.encode(),
    ),
    "unknown label": (
        "BAD_LABEL",
        lambda event_id: b'{"id":"%s","x":{"n":1},"y":"maybe"}' % event_id.encode(),
    ),
    "unknown field": (
        "BAD_FIELD",
        lambda event_id: b'{"id":"%s","x":{"n":1},"y":"no","z":1}' % event_id.encode(),
    ),
    "weight 0": (
        "BAD_WEIGHT",
        lambda event_id: b'{"id":"%s","x":{"n":1},"y":"no","weight":0}' % event_id.encode(),
    ),
    "empty": ("MALFORMED", lambda event_id: b""),
    "huge": ("TOO_LARGE", lambda event_id: b" " * (VALUE_BYTES_MAX + 1)),
}


def poison(seed: int, directory: Path, *, events: int = 2_000) -> Counter[str]:
    """Good and bad messages in random order over all partitions; then bad feedback by REST."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    good: list[str] = []
    bad: Counter[str] = Counter()
    with Cluster(directory) as cluster:
        producer = Producer(
            {"bootstrap.servers": cluster.broker.bootstrap, "message.max.bytes": 4 << 20, "log_level": 0}
        )
        kinds = [kind for kind in POISON if kind != "huge"]
        for number in range(events):
            event_id = f"event-{number}"
            if chance.random() < SHARE:
                kind = (
                    "huge" if landed["huge"] < HUGE_MAX and chance.random() < 0.05 else chance.choice(kinds)
                )
                reason, make = POISON[kind]
                value = make(event_id)
                bad[reason] += 1
                landed[kind] += 1
            else:
                value = encode_value(Event(id=event_id, x={"n": chance.random()}, y="yes"))
                good.append(event_id)
            producer.produce(TOPIC, value, partition=chance.randrange(cluster.partitions))
            producer.poll(0)
        assert producer.flush(DEADLINE_S) == 0
        cluster.start_consumer()
        [replica] = cluster.start_replicas(1)
        cluster.wait_for_version(len(good))
        wait_for_count(lambda: cluster.log.counters().skipped, sum(bad.values()), "bad messages passed over")
        landed["by REST"] = _refused_by_rest(cluster.rest, replica.url)
        audit(cluster, good)
        found = Counter(
            letter.reason for letter in _dead_letters(cluster.broker.bootstrap, total=sum(bad.values()))
        )
        assert found == bad, f"dead letters {found}, bad messages {bad}"
        assert cluster.log.counters().skipped == sum(bad.values())
    landed["good"], landed["bad"] = len(good), sum(bad.values())
    return landed


def _dead_letters(bootstrap: str, total: int) -> list[DeadLetter]:
    letters = list(read_dead_letters(bootstrap, DEAD_TOPIC))
    assert len(letters) == total, f"{len(letters)} dead letters for {total} bad messages"
    return letters


def _refused_by_rest(rest: Rest, url: str) -> int:
    """Send bad feedback; how much of it was refused with a 4xx, which is all of it."""
    refused = 0
    for label in ("maybe", "", "5"):
        reply = rest.feedback(url, "rest-label", 1.0, label)
        assert 400 <= reply.status < 500, f"label {label!r}: expected a 4xx, received {reply}"
        refused += 1
    for kind, (_, make) in POISON.items():
        reply = rest.call(url, "POST", "/api/v1.0/feedback", make(f"rest-{kind}"))
        if kind == "huge":  # who goes on sending after the answer may find the connection closed instead
            rest.close()
        assert 400 <= reply.status < 500 or (kind, reply.status) == ("huge", 0), f"{kind}: received {reply}"
        refused += 1
    return refused
