"""A cold replica folds the log from its beginning: how much of the kernel's speed is left?

It reads and decodes in one thread while the kernel learns in another, so on one free core the second is the
better measure: processor time of both.
"""

import time

import numpy as np
from figures import seconds

from hedge_model import HedgeLearner, ModelSpec
from log_parts.scene import CLASSES, PAPER, appends, events, median, new_log, server, spec_of, warm
from odl.actor import Actor, ReplicaSettings
from odl.event import Event
from odl.follower import Follower
from odl.redis_log import RedisLog

ROUNDS = 5
MODELS = {"default 3x100": spec_of(), "paper's 20x100": spec_of(**PAPER)}


def measure(size: float) -> dict[str, float]:
    """Three things in turns over the same events: the compiled loop over arrays, the learner handed one dict
    after the other, and a cold replica that reads, checks, decodes, learns and scores them from Redis."""
    count = max(int(50_000 * size), 600)
    stream = events(count)
    figures: dict[str, float] = {}
    with server() as (_, client):
        for number, (name, spec) in enumerate(MODELS.items()):
            log = new_log(client, f"catch-up-{number}")
            log.append_many(appends(stream))
            figures |= _of_model(name, spec, log, stream)
    return figures


def _of_model(name: str, spec: ModelSpec, log: RedisLog, stream: list[Event]) -> dict[str, float]:
    warm(spec)
    X = np.array([list(event.x.values()) for event in stream], np.float32)
    labels, names = np.array([CLASSES.index(str(event.y)) for event in stream]), list(stream[0].x)
    y = [CLASSES[label] for label in labels]

    def kernel() -> None:
        HedgeLearner(spec).prequential_many(X, y, names)

    def one_by_one() -> None:
        learner = HedgeLearner(spec)
        for event in stream:
            learner.prequential_one(event.x, event.y)

    def catch_up() -> None:
        follower = Follower(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, None)
        actor = Actor(follower, ReplicaSettings(), time.monotonic)
        while not actor.has_joined:
            actor.turn([])

    wall: dict[str, list[float]] = {"kernel": [], "one by one": [], "catch-up": []}
    processor: dict[str, list[float]] = {"kernel": [], "one by one": [], "catch-up": []}
    for _ in range(ROUNDS):
        for key, work in (("kernel", kernel), ("one by one", one_by_one), ("catch-up", catch_up)):
            begun = time.process_time()
            wall[key].append(seconds(work) / len(stream) * 1e6)
            processor[key].append((time.process_time() - begun) / len(stream) * 1e6)
    spent = {key: median(values) for key, values in wall.items()}
    computed = {key: median(values) for key, values in processor.items()}
    return {
        f"{name}: compiled loop, us an event": spent["kernel"],
        f"{name}: catch-up, us an event": spent["catch-up"],
        f"{name}: catch-up, share of the compiled loop's speed (goal 0.8)": spent["kernel"]
        / spent["catch-up"],
        f"{name}: the same in processor time": computed["kernel"] / computed["catch-up"],
        f"{name}: catch-up, share of the speed of single calls": spent["one by one"] / spent["catch-up"],
    }
