"""What the newest-version guarantee costs a prediction, alone and under load."""

import threading
from typing import Any

from figures import seconds

from hedge_model import HedgeLearner
from log_parts.scene import PATIENT, appends, events, median, new_log, server, spec_of, warm
from odl.log import Slice
from odl.redis_log import RedisLog
from odl.replica import Replica

CALLERS = 64
READ_COUNT = 512  # as a replica reads


class Counting:
    """A log that counts its reads."""

    def __init__(self, log: RedisLog) -> None:
        self._log = log
        self.reads = 0

    def read(self, version: int, count: int) -> Slice:
        self.reads += 1
        return self._log.read(version, count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def measure(size: float) -> dict[str, float]:
    """A head check against a PING in turns, call by call; predictions per head check with 64 callers."""
    rounds, of_each = max(int(4_000 * size), 100), max(int(200 * size), 5)
    spec = spec_of()
    warm(spec)
    with server() as (_, client):
        log = Counting(new_log(client, "heads"))
        stream = events(1_000)
        log.append_many(appends(stream))
        head = log.head().version
        pings, checks = [], []
        for _ in range(rounds):
            pings.append(seconds(client.ping))
            checks.append(seconds(lambda: log.read(head, READ_COUNT)))
        with Replica(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, settings=PATIENT) as replica:
            replica.predict([], min_version=head).result()

            def call() -> None:
                for event in stream[:of_each]:
                    replica.predict([event.x]).result()

            callers = [threading.Thread(target=call) for _ in range(CALLERS)]
            before = log.reads
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            reads = log.reads - before
    return {
        "PING, us": median(pings) * 1e6,
        "head check, us": median(checks) * 1e6,
        "head check over PING (goal 1.5)": median(checks) / median(pings),
        "predictions per head check, 64 callers (goal 8)": CALLERS * of_each / max(reads, 1),
    }
