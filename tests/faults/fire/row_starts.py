"""R20, R22: many cold starts at once; servers and settings that do not fit are refused with the reason."""

import random
import time
from collections import Counter
from pathlib import Path

from fire.audit import audit
from fire.cluster import Cluster
from fire.load import KafkaSender
from fire.waiting import wait_until


def cold_starts(seed: int, directory: Path, *, count: int = 5, events: int = 2_000) -> Counter[str]:
    """R20: replicas that start at once on a log with a past; all serve its newest version, one digest."""
    chance = random.Random(seed)
    with Cluster(directory, cold=True, snapshot_every=500) as cluster:
        cluster.start_consumer()
        with KafkaSender(
            cluster.broker.bootstrap, chance.getrandbits(30), rate=10_000, events_max=events
        ) as kafka:
            kafka.join()
            kafka.finish()
        cluster.wait_for_version(events)
        began = time.monotonic()
        cluster.start_replicas(count)
        seconds = time.monotonic() - began
        audit(cluster, sorted(set(kafka.delivered)))
    return Counter({"started": count, "ms until all were ready": round(1_000 * seconds), "events": events})


# What is wrong -> (CONFIG of Redis, [log] of the model file, what has to be said)
GUARDS: dict[str, tuple[dict[str, str], str, str]] = {
    "keys may be evicted": (
        {"maxmemory-policy": "allkeys-lru"},
        "",
        r"CONFIG SET maxmemory-policy noeviction",
    ),
    "no append-only file": ({"appendonly": "no"}, "", "CONFIG SET appendonly yes"),
    "acknowledged writes may be lost": ({"appendfsync": "everysec"}, "", "CONFIG SET appendfsync always"),
    "another log": ({}, 'log_id = "the-expected-one"', "expected the log the-expected-one"),
    "a setting that is not known": ({}, "idz_max = 7", "unknown key `log.idz_max`"),
}
FITTING = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}


def config_guards(seed: int, directory: Path) -> Counter[str]:
    """R22: `odl serve` ends with code 2 and one line that says what is wrong and what to do."""
    landed: Counter[str] = Counter()
    guards = list(GUARDS)
    random.Random(seed).shuffle(guards)
    with Cluster(directory) as cluster:
        for guard in guards:
            settings, log, expected = GUARDS[guard]
            for name, value in {**FITTING, **settings}.items():
                cluster.redis.client.config_set(name, value)
            replica = cluster.start_replica(log=log)
            wait_until(replica.has_ended, f"it refuses: {guard}")
            assert replica.exit_code == 2, f"{guard}: exit code {replica.exit_code}"
            said = replica.said().strip()
            assert expected in said and "\n" not in said, f"{guard}: it said {said!r}"
            landed[f"refused: {guard}"] += 1
            landed["guards"] += 1
        for name, value in FITTING.items():
            cluster.redis.client.config_set(name, value)
        cluster.start_replicas(1)
    return landed
