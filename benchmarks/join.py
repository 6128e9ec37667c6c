"""What do remembered predictions cost, and how fast are late labels joined with them?

Questions: how many labels a second does one joiner turn into events, against whole events appended the same
way; how many bytes of Redis does a remembered prediction take, against the same event in the log; what does
remembering add to the head check of a prediction.

A real Valkey (append-only file, fsync every second). What is compared is measured in turns within one run;
medians. Events have 8 numbers, 250 canonical bytes. `python benchmarks/join.py [--json FILE] [--size 0.1]`
"""

import statistics
from functools import partial

import redis
from figures import arguments_of, seconds, show
from log_parts.scene import events, new_log, server

from odl.event import Event, encode
from odl.log import Append
from odl.redis_keys import RedisKeys
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions
from odl.remembered import Remembered
from streaming.join import Join, LateLabel

LABELS, BATCH, ROUNDS = 50_000, 500, 5
READS = 5_000
SERVED = {"no": 0.123456789012345, "yes": 0.876543210987655}


def measure(size: float = 1.0) -> dict[str, float]:
    """Every figure; `size`: share of the usual work."""
    with server() as (_, client):
        figures = throughput(client, max(int(LABELS * size), 2 * ROUNDS))
        figures |= memory(client, max(int(LABELS * size), 100))
        figures |= head_check(client, max(int(READS * size), 20))
    return figures


def throughput(client: redis.Redis, count: int) -> dict[str, float]:
    """Labels joined and appended in batches, and whole events appended in the same ones."""
    made = events(count)
    store = RedisPredictions(client, "join", ttl_s=3600, records_max=count)
    for event in made:
        store.put(event.id, Remembered(event.x, SERVED, 1, 1))
    store.flush()
    log, joined_log = new_log(client, "whole"), new_log(client, "join")
    join = Join(joined_log, store)
    whole_s, joined_s = [], []
    part = count // ROUNDS
    for at in range(0, part * ROUNDS, part):
        rows = made[at : at + part]
        whole_s.append(seconds(partial(_append_whole, log, rows)))
        joined_s.append(seconds(partial(_append_joined, joined_log, join, rows)))
    assert joined_log.head().version == part * ROUNDS
    whole, joined = part / statistics.median(whole_s), part / statistics.median(joined_s)
    return {"labels/s joined and appended": joined, "the same over whole events": joined / whole}


def _append_whole(log: RedisLog, rows: list[Event]) -> None:
    for at in range(0, len(rows), BATCH):
        log.append_many([Append(encode(e), e.id, "rest:bench") for e in rows[at : at + BATCH]])


def _append_joined(log: RedisLog, join: Join, rows: list[Event]) -> None:
    for at in range(0, len(rows), BATCH):
        found = join.resolve([LateLabel(event.id, event.y) for event in rows[at : at + BATCH]])
        joined = [event for event in found if isinstance(event, Event)]
        log.append_many([Append(encode(e), e.id, "rest:bench") for e in joined])


def memory(client: redis.Redis, count: int) -> dict[str, float]:
    """Bytes of Redis for one prediction that is remembered, and for the same event in the log."""
    store = RedisPredictions(client, "memory", ttl_s=3600, records_max=count)
    log = new_log(client, "memory")
    made = events(count, prefix="018bcfe5680070000000000")  # ids as long as those that odl makes
    for event in made:
        store.put(event.id, Remembered(event.x, SERVED, 1, 1))
    store.flush()
    _append_whole(log, made)
    keys = RedisKeys("memory")
    remembered = sum(_bytes_of(client, slot) for slot in keys.remembered[1:]) / count
    entry = _bytes_of(client, keys.log) / count
    return {
        "bytes of a remembered prediction": remembered,
        "the same over its entry in the log": remembered / entry,
    }


def _bytes_of(client: redis.Redis, key: str) -> int:
    return int(client.memory_usage(key, samples=0) or 0)


def head_check(client: redis.Redis, count: int) -> dict[str, float]:
    """Microseconds of a head check alone, and of one that takes a row along, twice as every answer does."""
    log = new_log(client, "check")
    store = RedisPredictions(client, "check", ttl_s=3600, records_max=1_000)
    taking = RedisLog(client, "check", predictions=store)
    row = Remembered(events(1)[0].x, SERVED, 1, 1)
    alone, along = [], []
    for number in range(count):
        alone.append(seconds(lambda: log.read(0, 1)))
        store.put(f"p-{number}", row)
        along.append(seconds(lambda: taking.read(0, 1)))
    base, taken = statistics.median(alone), statistics.median(along)
    return {"head check, us": base * 1e6, "the same with a row to remember, over it": taken / base}


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    arguments = arguments_of("What do remembered predictions and late labels cost?").parse_args()
    show("Late labels", [measure(arguments.size)], arguments.json)


if __name__ == "__main__":
    main()
