"""R9, R10, R11: replies that get lost, Redis away, Kafka away."""

import random
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from redis_proxy import RedisProxy

from fire.audit import audit
from fire.client import Rest
from fire.cluster import Broker, Cluster
from fire.counter import check
from fire.load import Caller, KafkaSender
from fire.waiting import wait_for_count, wait_until

SHARE = 0.05  # of the replies are dropped, and as many delayed


def lost_replies(seed: int, directory: Path, *, events: int = 1_500) -> Counter[str]:
    """R9: every process reaches Redis through a proxy that drops or delays one reply in ten."""
    with Cluster(directory) as cluster, ExitStack() as parts:
        proxies = [
            parts.enter_context(RedisProxy(cluster.redis.port, seed * 10 + number)) for number in range(3)
        ]
        cluster.start_consumer(proxies[2].url)
        cluster.replicas += [cluster.start_replica(redis_url=proxy.url) for proxy in proxies[:2]]
        cluster.wait_for_replicas()
        for proxy in proxies:
            proxy.share = SHARE
        callers = [Caller(cluster.replicas, seed * 10 + number) for number in range(2)]
        kafka = KafkaSender(cluster.broker.bootstrap, seed, rate=2_000, events_max=events)
        for sender in (*callers, kafka):
            parts.enter_context(sender)
        wait_for_count(
            lambda: sum(len(caller.acknowledged) for caller in callers), events // 50, "feedback by REST"
        )
        for sender in (kafka, *callers):
            if sender is kafka:
                kafka.join()
            sender.finish()
        accepted = [*kafka.delivered, *(event_id for caller in callers for event_id in caller.acknowledged)]
        cluster.wait_for_version(len(set(accepted)))
        for proxy in proxies:
            proxy.share = 0.0
        audit(cluster, accepted)
        violations = check(operation for caller in callers for operation in caller.history)
        assert not violations, violations[:5]
        landed = sum((caller.counts for caller in callers), Counter(kafka.counts))
        landed += sum((proxy.counts for proxy in proxies), Counter())
    landed["events"] = len(set(accepted))
    return landed


def redis_away(seed: int, directory: Path, *, away_s: float = 3.0) -> Counter[str]:
    """R10: while Redis is away, one replica refuses, another answers what it last knew and says so; feedback
    is kept by Kafka; afterwards all is complete and both are back."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory) as cluster, ExitStack() as parts:
        rest = cluster.rest
        cluster.start_consumer()
        cluster.replicas += [
            cluster.start_replica(with_kafka=True, policy=policy, stale_for_s=2 * away_s)
            for policy in ("refuse", "stale")
        ]
        cluster.wait_for_replicas()
        refusing, tolerant = cluster.replicas
        caller = parts.enter_context(Caller(cluster.replicas, seed, feedback_share=1.0, pause_s=0.01))
        kafka = parts.enter_context(KafkaSender(cluster.broker.bootstrap, seed, rate=300))
        cluster.wait_for_version(100)
        cluster.redis.kill()
        gone, acknowledged = time.monotonic(), len(caller.acknowledged)
        while time.monotonic() < gone + away_s:
            value = chance.random()
            refused, stale = rest.predict(refusing.url, value), rest.predict(tolerant.url, value)
            assert refused.status == 503, f"the policy is to refuse, the answer was {refused}"
            assert int(refused.retry_after or 0) >= 1, f"expected a Retry-After, received {refused}"
            assert (stale.status, stale.tags.get("stale")) == (200, True), f"expected stale, received {stale}"
            landed += Counter({"refused": 1, "stale": 1})
            time.sleep(0.05)
        landed["outages"] += 1
        landed["feedback kept meanwhile"] = len(caller.acknowledged) - acknowledged
        cluster.redis.start()
        back = time.monotonic()
        for replica in cluster.replicas:
            wait_until(lambda r=replica: _is_fresh(rest, r.url), "a fresh answer")  # type: ignore[misc]
        landed["ms until both were back"] = round(1_000 * (time.monotonic() - back))
        for sender in (kafka, caller):
            sender.finish()
        accepted = [*kafka.delivered, *caller.acknowledged]
        audit(cluster, accepted)
    landed["events"] = len(set(accepted))
    return landed


def _is_fresh(rest: Rest, url: str) -> bool:
    reply = rest.predict(url, 0.5)
    return reply.status == 200 and not reply.tags.get("stale")


def kafka_away(seed: int, directory: Path, *, away_s: float = 3.0) -> Counter[str]:
    """R11: while Kafka is away predictions go on, and feedback is refused, not acknowledged in vain."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    with Cluster(directory) as cluster, ExitStack() as parts:
        rest = cluster.rest
        cluster.start_consumer()
        cluster.start_replicas(2, with_kafka=True)
        callers = [
            parts.enter_context(
                Caller(cluster.replicas, seed * 10 + number, feedback_share=1.0, pause_s=0.01)
            )
            for number in range(2)
        ]
        cluster.wait_for_version(50)
        assert isinstance(cluster.broker, Broker)
        cluster.broker.set_down()
        gone, refused = time.monotonic(), 0
        while time.monotonic() < gone + away_s or not refused:
            reply = rest.predict(chance.choice(cluster.replicas).url, chance.random())
            assert reply.status == 200, f"predictions need no Kafka, the answer was {reply}"
            assert not reply.tags.get("stale")
            landed["predicted meanwhile"] += 1
            refused = sum(caller.counts["feedback 503"] for caller in callers)
            time.sleep(0.02)
        landed["outages"] += 1
        landed["feedback refused"] = refused
        before = [len(caller.acknowledged) for caller in callers]
        cluster.broker.set_up()
        for caller, count in zip(callers, before, strict=True):
            wait_until(
                lambda c=caller, n=count: len(c.acknowledged) > n + 10,  # type: ignore[misc]
                "feedback is acknowledged again",
            )
            caller.finish()
        accepted = [event_id for caller in callers for event_id in caller.acknowledged]
        audit(cluster, accepted)
    landed["events"] = len(set(accepted))
    return landed
