"""Against the obvious design: after each update the whole weights are SET in Redis, under a lock.

The consumer appends pipelined, so that is what the goal reads. One append by itself is one round trip: how
little it adds to that is measured against PING over a connection that is kept as the log's is.
"""

from collections.abc import Callable
from typing import Any

import redis
from figures import seconds

from log_parts.scene import PAPER, appends, events, median, new_log, server, spec_of, warm
from odl.redis_lines import Lines

ROUNDS = 7


def measure(size: float) -> dict[str, float]:
    """Updates a second and bytes that reach the server for each, in turns. Neither side counts learning, and
    the obvious one need not even read what another writer has stored."""
    updates = max(int(40 * size), 3)
    weights = warm(spec_of(**PAPER)).to_bytes()
    many = appends(events(ROUNDS * 100 * updates))
    single = appends(events(ROUNDS * 10 * updates, "single"))
    with server() as (_, client):
        log, lock = new_log(client, "obvious"), client.lock("weights-lock", timeout=30)
        batches = [many[at : at + 100 * updates] for at in range(0, len(many), 100 * updates)]
        singles = [single[at : at + 10 * updates] for at in range(0, len(single), 10 * updates)]

        def write_weights() -> None:
            for _ in range(updates):
                with lock:
                    client.set("weights", weights)

        def ping_each(count: int) -> None:
            for _ in range(count):
                lines.execute("PING")

        lines = Lines(client)
        rates: dict[str, list[float]] = {"weights": [], "one by one": [], "pipelined": [], "ping": []}
        for turn in range(ROUNDS):
            rates["weights"].append(updates / seconds(write_weights))
            appended = singles[turn]
            rates["one by one"].append(len(appended) / seconds(_each(log.append, appended)))
            rates["ping"].append(10 * updates / seconds(lambda: ping_each(10 * updates)))
            batch = batches[turn]
            rates["pipelined"].append(len(batch) / seconds(lambda batch=batch: log.append_many(batch)))
        of_weights = _received(client, write_weights) / updates
        last = appends(events(500, "last"))
        of_events = _received(client, _each(log.append, last)) / len(last)
        of_batch = appends(events(500, "batch"))
        of_pipelined = _received(client, lambda: log.append_many(of_batch)) / len(of_batch)
    obvious = median(rates["weights"])
    return {
        "weights, MB": len(weights) / 1e6,
        "SET of the weights under a lock, updates/s": obvious,
        "append one by one, updates/s": median(rates["one by one"]),
        "append pipelined, updates/s": median(rates["pipelined"]),
        "append pipelined over SET under a lock (goal 30)": median(rates["pipelined"]) / obvious,
        "append one by one over SET under a lock": median(rates["one by one"]) / obvious,
        "append one by one, time over PING's": median(rates["ping"]) / median(rates["one by one"]),
        "SET under a lock, bytes an update": of_weights,
        "append one by one, bytes an update": of_events,
        "append pipelined, bytes an update": of_pipelined,
        "bytes: SET over append one by one (goal 1000)": of_weights / of_events,
        "bytes: SET over append pipelined": of_weights / of_pipelined,
    }


def _each(call: Callable[[Any], Any], items: list[Any]) -> Callable[[], None]:
    def work() -> None:
        for item in items:
            call(item)

    return work


def _received(client: redis.Redis, work: Callable[[], Any]) -> float:
    """Bytes that the server received from all clients meanwhile."""
    before = client.info("stats")["total_net_input_bytes"]
    work()
    return float(client.info("stats")["total_net_input_bytes"] - before)
