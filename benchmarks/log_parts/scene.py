"""What every part needs: a real server, a log with events in it, models of three sizes, percentiles."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import redis

from hedge_model import HedgeLearner, ModelSpec
from odl.embedded_redis import EmbeddedRedis
from odl.event import Event, encode
from odl.log import Append
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import ReplicaSettings

CLASSES = ("no", "yes")
FIELDS = 8  # numbers of an event; its canonical bytes are about 250
PATIENT = ReplicaSettings(deadline_s=60.0)  # nobody is refused because the machine is busy
PAPER: dict[str, Any] = {"preset": "paper", "hidden_layers": 20}  # 0.8 MB of weights


def spec_of(**settings: Any) -> ModelSpec:
    """A binary model of `FIELDS` numbers."""
    fields = {f"f{i}": "number" for i in range(FIELDS)}
    return ModelSpec(**{"task": "binary", "classes": CLASSES, "fields": fields, **settings})


def events(count: int, prefix: str = "e") -> list[Event]:
    """A stream that can be learned: the label follows two of the numbers."""
    dice = random.Random(0)
    made = []
    for number in range(count):
        x = {f"f{i}": dice.gauss(0, 1) for i in range(FIELDS)}
        made.append(Event(f"{prefix}-{number}", x, CLASSES[x["f0"] + x["f1"] > 0], source="rest:bench"))
    return made


def appends(of: list[Event]) -> list[Append]:
    """What enters the log, from a source without positions."""
    return [Append(encode(event), event.id, event.source) for event in of]


@contextmanager
def server(appendfsync: str = "everysec") -> Iterator[tuple[EmbeddedRedis, redis.Redis]]:
    """A Valkey of its own that writes an append-only file, and a client."""
    with (
        tempfile.TemporaryDirectory(prefix="odl-bench-") as folder,
        EmbeddedRedis(folder, appendfsync=appendfsync) as running,
        closing(connect(running.url)) as client,
    ):
        yield running, client


def new_log(client: redis.Redis, name: str) -> RedisLog:
    """An empty log."""
    log = RedisLog(client, name)
    log.create()
    return log


def warm(spec: ModelSpec) -> HedgeLearner:
    """A learner whose code is compiled and whose arrays are in memory."""
    learner = HedgeLearner(spec)
    examples = [(event.x, event.y, 1.0) for event in events(64)]
    learner.prequential_one(*examples[0])
    learner.prequential_batch(learner.prepare(examples))
    learner.predict_one(examples[0][0])
    return learner


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def median(values: list[float]) -> float:
    """The middle one."""
    return percentile(values, 0.5)
