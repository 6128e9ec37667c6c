"""The floors: the HTTP server by itself, a round trip to Redis, the prediction alone."""

import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hedge_model import HedgeLearner, ModelSpec
from odl.embedded_redis import EmbeddedRedis
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from seldon.message import decode_message
from seldon.request import read_request
from serving_parts.against import MANY, PREDICT, ROUNDS, SECONDS
from serving_parts.cores import CLIENT, SERVER
from serving_parts.load import Load, Measured, in_turns
from serving_parts.servers import FEATURES, Server, ours, pin, predict_body, running, until_ready

CALLS = 3_000
PING = b"*1\r\n$4\r\nPING\r\n"


def measure(size: float) -> dict[str, float]:
    """Medians; what is compared is measured in turns."""
    with (
        tempfile.TemporaryDirectory(prefix="odl-bench-") as name,
        EmbeddedRedis(Path(name) / "redis") as redis,
    ):
        folder = Path(name)
        figures = _calls(redis, max(int(CALLS * size), 20))
        pin(redis.pid, CLIENT)
        load = Load(folder, PREDICT, predict_body(), CLIENT)
        rounds, seconds = max(round(ROUNDS * size), 1), max(SECONDS * size, 0.3)
        command = [sys.executable, str(Path(__file__).with_name("hello.py"))]
        with (
            running(command, folder / "hello.log", {}, SERVER) as process,
            ours(folder, redis.url, SERVER) as one,
        ):
            url = until_ready(folder / "hello.log", process)
            hello = Server(url, process.pid)
            for connections in (1, MANY):

                def on(server: Server, connections: int = connections) -> Measured:
                    return load.on(server, connections, seconds)

                pairs = in_turns(rounds, lambda: on(one), lambda: on(hello))
                title = f"{connections} connection{'s' * (connections > 1)}"
                for what in ("p50_ms", "rate", "cpu_us"):
                    ratio = statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)
                    figures[f"predict over granian's hello, {title}, {what}"] = ratio
                figures[f"granian's hello, {title}, p50 ms"] = statistics.median(b.p50_ms for _, b in pairs)
                figures[f"granian's hello, {title}, cpu us"] = statistics.median(b.cpu_us for _, b in pairs)
    return figures


def _calls(redis: EmbeddedRedis, count: int) -> dict[str, float]:
    """Microseconds of what a prediction is made of, each by itself."""
    spec = ModelSpec(
        **{"preset": "paper", "task": "binary", "classes": ("0", "1"), "hidden_layers": 20, "width": 100},
        fields=dict.fromkeys(FEATURES, "number"),
    )
    learner, body = HedgeLearner(spec), predict_body()
    x = read_request(decode_message(body)).rows[0]
    with closing(connect(redis.url)) as client, socket.create_connection(("127.0.0.1", redis.port)) as raw:
        log = RedisLog(client, "floors")
        log.create()
        calls: dict[str, Callable[[], object]] = {
            "PING by a bare socket": lambda: (raw.sendall(PING), raw.recv(64)),
            "PING by redis-py": client.ping,
            "head check": lambda: log.read(0, 512),
            "decode and check the message": lambda: read_request(decode_message(body)),
            "predict, 20 x 100": lambda: learner.predict_one(x),
        }
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(count):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                spent[name].append(time.perf_counter() - began)
    return {f"{name}, us": statistics.median(each) * 1e6 for name, each in spent.items()}
