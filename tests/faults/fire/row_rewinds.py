"""R2: Redis loses acknowledged history; Kafka has it, so the log is filled again and nobody serves the lost
branch."""

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from redis_proxy import RedisProxy

from fire.audit import audit, settle
from fire.cluster import NAME, Cluster
from fire.load import Caller, KafkaSender
from fire.redis_server import RedisServer
from fire.waiting import wait_until
from odl.log import Head
from odl.redis_log import RedisLog

KINDS = ("cut", "older", "flushed", "failed over")
EVENTS = (100, 300)  # sent between two rewinds
MORE = 20  # after those, so that a copy made meanwhile lacks something
CUT_BYTES = (2_000, 40_000)


def rewinds(seed: int, directory: Path, *, count: int = 4, product: str = "valkey") -> Counter[str]:
    """All feedback goes through Kafka first: by REST (`odl serve --kafka`) and directly. Everybody reaches
    Redis at the address of a proxy."""
    chance = random.Random(seed)
    landed: Counter[str] = Counter()
    accepted: list[str] = []
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    chance.shuffle(kinds)
    with Cluster(directory, product, snapshot_every=200) as cluster, ExitStack() as parts:
        proxy = parts.enter_context(RedisProxy(cluster.redis.port))
        cluster.start_replicas(2, with_kafka=True, redis_url=proxy.url)
        cluster.start_consumer(proxy.url)
        _load(cluster, chance, accepted, landed, None)
        for number, kind in enumerate(kinds):
            history = directory / f"history-{number}"
            if kind == "failed over":
                before = _fail_over(cluster, proxy, parts, history, chance, accepted, landed)
            else:
                _load(cluster, chance, accepted, landed, history)
                before = cluster.log.head()
                _rewind(kind, cluster, chance, history, before)
            landed[f"redis {kind}"] += 1
            _load(cluster, chance, accepted, landed, None)
            after = cluster.log.head()
            if after.epoch > before.epoch:
                landed["epoch raised"] += 1
            else:  # refilled with the very same history before anybody looked: nothing was lost then
                assert _chain_at(cluster, before.version) == before.chain, "another history, the same epoch"
                landed["refilled unseen"] += 1
        audit(cluster, accepted)
    landed["events"] = len(set(accepted))
    return landed


def _load(
    cluster: Cluster, chance: random.Random, accepted: list[str], landed: Counter[str], backup: Path | None
) -> None:
    """Send events by both ways and wait until every replica has learned them; `backup`: copy Redis's data to
    there in the middle."""
    seed = chance.getrandbits(30)
    version = cluster.version()
    with ExitStack() as senders:
        caller = senders.enter_context(Caller(cluster.replicas, seed, pause_s=0.005))
        events = chance.randint(*EVENTS)
        kafka, more = (
            KafkaSender(cluster.broker.bootstrap, seed + part, rate=1_000, events_max=count)
            for part, count in enumerate((events, MORE))
        )
        senders.enter_context(kafka)
        if backup is not None:
            wait_until(lambda: cluster.version() > version + events // 3, "events arrive")
            cluster.redis.backup(backup)
        kafka.join()
        senders.enter_context(more).join()
        for sender in (kafka, more, caller):
            sender.finish()
            landed += sender.counts
    accepted += [*kafka.delivered, *more.delivered, *caller.acknowledged]
    settle(cluster, accepted)


def _rewind(kind: str, cluster: Cluster, chance: random.Random, backup: Path, before: Head) -> None:
    """Lose history that every replica has learned."""
    redis = cluster.redis
    if kind == "flushed":
        redis.client.flushall()
        return
    redis.kill()
    if kind == "older":
        redis.restore(backup)
    while True:
        if kind == "cut":
            redis.cut(chance.randint(*CUT_BYTES))
        with redis.elsewhere() as client:  # to look before the consumer can fill it again
            version = int(client.hget("{odl:fire}:head", "version") or 0)
        if version < before.version:
            break
        assert kind == "cut", "the backup is as new as what it replaced"
    redis.start()


def _fail_over(
    cluster: Cluster,
    proxy: RedisProxy,
    parts: ExitStack,
    directory: Path,
    chance: random.Random,
    accepted: list[str],
    landed: Counter[str],
) -> Head:
    """A replica of Redis falls behind, the primary is silent (its connections stay open: a black hole), and
    the replica takes its place at the same address. The head that everybody had seen before."""
    old = cluster.redis
    new = RedisServer(directory, cluster.product)
    parts.callback(new.stop)
    link = parts.enter_context(RedisProxy(old.port))
    new.client.replicaof("127.0.0.1", str(link.port))
    wait_until(lambda: _is_in_step(new, old), "the replica of Redis has everything")
    link.hold = True  # from here on nothing reaches it
    _load(cluster, chance, accepted, landed, None)
    before = cluster.log.head()
    old.pause()
    new.client.replicaof("NO", "ONE")
    cluster.redis, cluster.log = new, RedisLog(new.client, NAME)
    lost = before.version - cluster.version()
    assert lost > 0, "the replica of Redis has what it should have lost"
    proxy.go_to(new.port)
    wait_until(lambda: cluster.version() >= before.version, "the log is filled again at the new server")
    old.kill()
    link.cut()
    landed["entries lost by failing over"] += lost
    return before


def _is_in_step(replica: RedisServer, primary: RedisServer) -> bool:
    told = replica.client.info("replication")
    done = primary.client.info("replication")["master_repl_offset"]
    return told["master_link_status"] == "up" and told.get("slave_repl_offset", -1) >= done


def _chain_at(cluster: Cluster, version: int) -> str:
    part = cluster.log.read(version, 1)
    return part.entries[0].chain if part.entries else part.head.chain
