"""A process of `visible`: a replica that waits for every version, or a sleeper that notes when it wakes.

`watcher.py REDIS_URL LOG COUNT` prints "ready", then the time at which it first answered at or after each
version 1 … COUNT. `watcher.py sleep` prints "ready" and, after a line on standard input, by how much each
sleep of 2 ms was too long. Both as JSON.
"""

import json
import selectors
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hedge_model import HedgeLearner
from log_parts.scene import PATIENT, spec_of, warm
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import Replica

NAP_S = 0.002


def watch(url: str, name: str, count: int) -> list[float]:
    """When each version was visible."""
    spec = spec_of()
    warm(spec)
    times: list[float] = []
    log = RedisLog(connect(url), name)
    with Replica(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, settings=PATIENT) as replica:
        replica.predict([]).result()
        print("ready", flush=True)
        while len(times) < count:
            version = replica.predict([], min_version=len(times) + 1).result().version
            times += [time.monotonic()] * (version - len(times))
    return times


def sleep() -> list[float]:
    """Oversleeping, in seconds."""
    late = []
    print("ready", flush=True)
    with selectors.DefaultSelector() as told:
        told.register(sys.stdin, selectors.EVENT_READ)
        while not (late and told.select(0)):
            start = time.monotonic()
            time.sleep(NAP_S)
            late.append(time.monotonic() - start - NAP_S)
    return late


if __name__ == "__main__":
    found = sleep() if sys.argv[1] == "sleep" else watch(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps(found))
