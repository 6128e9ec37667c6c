"""A fleet of models on machines: who shares a core with whom, what each has to do, how long events wait.

A model is learned in one order, so its events cannot be spread; models can. Placement: longest processing
time first (Graham 1969); queues are simulated event by event by Lindley's recursion (1952); the only
randomness comes from one seed.
"""

import heapq
import math
import random
from dataclasses import dataclass

UTILISATION_MAX = 0.7  # of a core, so that bursts find room
BURST = 20  # events that arrive together, as a consumer's poll brings them
QUEUE_EVENTS = 20_000  # simulated on the busiest core


@dataclass(frozen=True, slots=True)
class Unit:
    """What the fleet is made of; all times are processor time of one core."""

    fold_us: float  # one replica learns one event
    predict_us: float  # one replica answers one prediction, HTTP and head check included
    append_us: float  # Redis takes one event
    memory_bytes: int  # one replica of one model
    log_bytes: float  # one event in Redis


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the fleet."""

    models: int
    events_per_second: float  # of all models together
    predictions_per_second: float
    replicas: int  # of each model
    skew: float  # models by size: the n-th has 1/n^skew of the largest's traffic (Zipf)
    retain: int  # entries that the log of a model keeps


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes."""

    learner_cores: int  # of replicas
    redis_cores: int  # each a Redis primary
    replica_gib: float
    redis_gib: float
    largest_model_share: float  # of one core, that one replica of the largest model needs to learn
    too_large: int  # models that one core cannot learn: split by key, each part a model of its own
    wait_p50_ms: float  # from the log to the learner, on the busiest core
    wait_p99_ms: float


def shares(count: int, skew: float) -> list[float]:
    """Traffic of each model as a share of all, largest first.

    >>> [round(share, 3) for share in shares(3, 1.0)]
    [0.545, 0.273, 0.182]
    """
    raw = [1.0 / (rank**skew) for rank in range(1, count + 1)]
    total = sum(raw)
    return [value / total for value in raw]


def place(loads: list[float], limit: float) -> list[float]:
    """Loads on as few cores as longest-first placement needs to keep each below `limit`.

    >>> place([0.5, 0.4, 0.3, 0.2], 0.7)
    [0.7, 0.7]
    """
    cores = max(1, int(sum(loads) / limit))
    while True:
        heap = [0.0] * cores
        for load in sorted(loads, reverse=True):
            heapq.heappush(heap, round(heapq.heappop(heap) + load, 12))
        if max(heap) <= limit or cores >= len(loads):
            return sorted(heap, reverse=True)
        cores = max(cores + 1, int(cores * 1.02))


def waits_ms(utilisation: float, service_us: float, seed: int) -> tuple[float, float]:
    """Median and 99th percentile of an event's time to be learned, at that utilisation: bursts arrive at
    random, service is constant, first come first served."""
    draw = random.Random(seed)
    gap_us = service_us * BURST / utilisation  # mean time between bursts
    backlog, spent = 0.0, []
    for _ in range(QUEUE_EVENTS // BURST):
        backlog = max(0.0, backlog - draw.expovariate(1.0 / gap_us))
        spent += [backlog + service_us * (k + 1) for k in range(BURST)]
        backlog += service_us * BURST
    spent.sort()
    return spent[len(spent) // 2] / 1e3, spent[int(len(spent) * 0.99)] / 1e3


def plan(unit: Unit, demand: Demand, seed: int = 0) -> Plan:
    """What a fleet of such units needs for such a demand."""
    of_models = shares(demand.models, demand.skew)
    learning = [demand.events_per_second * share * unit.fold_us / 1e6 for share in of_models]
    answering = [
        demand.predictions_per_second * share * unit.predict_us / 1e6 / demand.replicas for share in of_models
    ]
    loads = [one + other for one, other in zip(learning, answering, strict=True)]
    cores = place(_split(loads) * demand.replicas, UTILISATION_MAX)
    appending = [demand.events_per_second * share * unit.append_us / 1e6 for share in of_models]
    redis = place(_split(appending), UTILISATION_MAX)
    too_large = sum(load > UTILISATION_MAX for load in loads)
    p50, p99 = waits_ms(max(max(cores), 0.01), unit.fold_us, seed)
    return Plan(
        learner_cores=len(cores),
        redis_cores=len(redis),
        replica_gib=demand.models * demand.replicas * unit.memory_bytes / 2**30,
        redis_gib=demand.models * demand.retain * unit.log_bytes / 2**30,
        largest_model_share=learning[0],
        too_large=too_large,
        wait_p50_ms=p50,
        wait_p99_ms=p99,
    )


def _split(loads: list[float]) -> list[float]:
    """Loads of which none is beyond a core: what is too large becomes equal parts.

    >>> _split([1.4, 0.2])
    [0.7, 0.7, 0.2]
    """
    parts = [max(1, math.ceil(round(load / UTILISATION_MAX, 9))) for load in loads]
    return [load / count for load, count in zip(loads, parts, strict=True) for _ in range(count)]
