"""What do metrics cost a prediction?

Questions: how much longer does a prediction take because it is counted; what do the looks beside it cost; how
long does a scrape take. Two replicas of the default network on one real Valkey answer the same request, in
turns, through the whole application without a socket: one counts, the other does not.

The share is that of what counting adds by itself, timed alone, in the uncounted answer: on a busy machine it
is steadier than the difference of two whole requests, which is printed too.
`python benchmarks/metrics.py [--json FILE] [--size 0.1]`
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from figures import arguments_of, seconds, show, verdict

from hedge_model import HedgeLearner, ModelSpec
from odl.embedded_redis import EmbeddedRedis
from odl.event import Event, Features, encode
from odl.feedback import DirectSink
from odl.log import Append
from odl.logs import PUID
from odl.mailbox import Answer
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import Replica
from seldon.app import App
from seldon.metrics import PlaneMetrics
from seldon.monitor import Monitor
from seldon.observed_log import ObservedLog
from seldon.plane import DataPlane
from seldon.service import Service

FIELDS = 10
EVENTS = 200  # learned before anything is measured
ROUNDS, REQUESTS = 600, 8  # turns of each, requests of a turn: short, so that both see the same machine
SPEC = ModelSpec(task="binary", classes=("no", "yes"), fields={f"f{at}": "number" for at in range(FIELDS)})
ROW: Features = {f"f{at}": at / FIELDS for at in range(FIELDS)}
GOAL = "counting, share of a prediction (goal 0.03)"


class Uncounted(PlaneMetrics):
    """Counts nothing."""

    def count_predictions(
        self, rows: list[Features], answer: Answer, seconds: float, source: str = "seldon"
    ) -> None:
        """Do nothing."""


class Request:
    """The same request again and again, without a socket."""

    method, path, query_string = "POST", "/api/v1.0/predictions", ""
    body = json.dumps({"jsonData": ROW}).encode()
    headers: dict[str, str] = {"content-length": str(len(body))}

    async def __call__(self) -> bytes:
        """The body."""
        return self.body


@contextlib.contextmanager
def application(log: RedisLog, metrics: PlaneMetrics) -> Iterator[App]:
    """The application of one replica on `log`."""
    with Replica(lambda: HedgeLearner(SPEC), HedgeLearner.from_bytes, log) as replica:
        plane = DataPlane(replica, DirectSink(log, "benchmark"), names=tuple(ROW))
        app = App(Service("metrics", replica, plane, ExitStack(), task="binary", metrics=metrics))
        replica.predict([ROW]).result()
        yield app
        app.close()


def measure(size: float) -> dict[str, float]:
    """Every figure by its name."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        client, other = connect(server.url), connect(server.url)
        metrics = PlaneMetrics()
        counted_log = ObservedLog(client, "metrics", metrics=metrics)
        uncounted_log = RedisLog(other, "metrics")
        counted_log.create()
        for number in range(EVENTS):
            event = Event(id=str(number), x=ROW, y="yes" if number % 3 else "no", source="rest:benchmark")
            counted_log.append(Append(encode(event), event.id, event.source))
        with application(counted_log, metrics) as one, application(uncounted_log, Uncounted()) as two:
            ratio, uncounted = asyncio.run(_in_turns(one, two, max(2, int(ROUNDS * size))))
            added = _added(one, metrics, max(1_000, int(20_000 * size)))
            looks = _looks(one, metrics)
        client.close()
        other.close()
    return {
        GOAL: added / uncounted,
        "prediction counted over uncounted, whole requests": ratio,
        "prediction uncounted, us": uncounted * 1e6,
        "counting alone, us": added * 1e6,
        **looks,
    }


async def _in_turns(one: App, two: App, rounds: int) -> tuple[float, float]:
    """Median ratio of two turns that follow each other, and the median seconds of an uncounted request."""
    seconds: tuple[list[float], list[float]] = [], []
    turns = list(zip((one, two), seconds, strict=True))
    for _ in range(rounds):
        turns.reverse()  # who comes first finds the caches of the other
        for app, found in turns:
            began = time.perf_counter()
            for _ in range(REQUESTS):
                request = Request()
                response = await app.respond(request, request)  # type: ignore[arg-type]
                assert response.status == 200
            found.append((time.perf_counter() - began) / REQUESTS)
    ratios = [with_it / without for with_it, without in zip(*seconds, strict=True)]
    return median(ratios), median(seconds[1])


def _added(app: App, metrics: PlaneMetrics, count: int) -> float:
    """Seconds of everything that counting one prediction does, its head check included."""
    answer = app._service.replica.predict([ROW]).result()
    rows, clock = [ROW], time.perf_counter

    def add() -> None:
        began = clock()
        PUID.set("")
        PUID.set("p")
        metrics.read_seconds.observe(clock() - began)
        metrics.count_predictions(rows, answer, 0.0007)

    # The mean: what is put aside is counted at once every few hundred times.
    return min(seconds(lambda: [add() for _ in range(count)]) for _ in range(5)) / count


def _looks(app: App, metrics: PlaneMetrics) -> dict[str, float]:
    """Milliseconds of a look and of a scrape, with a full window."""
    replica = app._service.replica
    for _ in range(2_000):
        metrics.inputs.add(ROW)
    monitor = Monitor(replica, metrics, dict)
    metrics.add(monitor)
    status: dict[str, Any] = app._service.describe(replica.status(digest=False))
    return {
        "a look each second, ms": 1e3 * median(seconds(lambda: monitor.look(around=False)) for _ in range(9)),
        "a look around each 5 s, ms": 1e3 * median(seconds(monitor.look) for _ in range(9)),
        "a scrape, ms": 1e3 * median(seconds(lambda: metrics.exposition(status)) for _ in range(9)),
    }


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    arguments = arguments_of("What do metrics cost a prediction?").parse_args()
    show("Metrics", [measure(arguments.size)], arguments.json, partial(verdict, at_most=True))


if __name__ == "__main__":
    main()
