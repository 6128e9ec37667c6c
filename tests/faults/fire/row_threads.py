"""R5, many histories: replicas as threads of this process on a real server, for a fraction of the cost."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import redis
from hash_learner import HashLearner
from redis_proxy import RedisProxy

from fire.counter import Operation, check
from fire.redis_server import RedisServer
from fire.waiting import DEADLINE_S
from odl.errors import Unavailable
from odl.event import Event, encode
from odl.log import Append, Log
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replica import Replica, ReplicaSettings

REPLICAS = 3
CALLERS = 4
BURST_MAX = 12  # operations of one caller at once
FEEDBACK_SHARE = 0.3
SHARE = 0.01  # of the replies of one connection in two are dropped, and as many delayed
PAUSE_S_MAX = 0.01  # a replica stands still for that long, with requests in it
ROW = {"n": 1.0}

MakeReplica = Callable[[Log], Replica]


def new_replica(log: Log) -> Replica:
    """One that refuses what it cannot answer by the newest version."""
    settings = ReplicaSettings(deadline_s=DEADLINE_S)
    return Replica(HashLearner, HashLearner.from_bytes, log, settings=settings)


def histories(
    seed: int, directory: Path, *, count: int = 49, operations: int = 5_000, make: MakeReplica = new_replica
) -> Counter[str]:
    """So many histories of so many operations, each on a log of its own: predictions and feedback at once,
    over connections that lose replies, while replicas stand still now and then."""
    landed: Counter[str] = Counter()
    with ExitStack() as parts:
        server = RedisServer(directory / "redis")
        parts.callback(server.stop)
        proxy = parts.enter_context(RedisProxy(server.port, seed, share=SHARE))
        urls = [server.url, proxy.url]
        clients = [
            parts.enter_context(closing(connect(urls[number % 2]))) for number in range(REPLICAS + CALLERS)
        ]
        for number in range(count):
            history = _History(random.Random(f"{seed} {number}"), f"fire-{number}", clients, operations)
            violations = check(history.play(make))
            assert not violations, f"history {number}: {len(violations)} violations, such as {violations[:5]}"
            landed += history.counts
            landed["histories"] += 1
        landed += proxy.counts
    return landed


class _History:
    """One log, its replicas and its callers."""

    def __init__(self, chance: random.Random, name: str, clients: list[redis.Redis], operations: int) -> None:
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._logs = [RedisLog(client, name) for client in clients]
        self._operations = operations
        self._done: list[Operation] = []  # appending to a list is atomic
        self._errors: list[BaseException] = []

    def play(self, make: MakeReplica) -> list[Operation]:
        """Everything that was answered."""
        head = self._logs[0].create()
        assert head.version == 0
        with ExitStack() as parts:
            replicas = [parts.enter_context(make(log)) for log in self._logs[:REPLICAS]]
            callers = [
                threading.Thread(
                    target=self._call, args=(number, log, replicas, self._chance.getrandbits(30))
                )
                for number, log in enumerate(self._logs[REPLICAS:])
            ]
            for caller in callers:
                caller.start()
            while any(caller.is_alive() for caller in callers):
                pause_s = self._chance.uniform(0, PAUSE_S_MAX)
                self._chance.choice(replicas).ask(lambda _, pause_s=pause_s: time.sleep(pause_s))  # type: ignore[misc]
                self.counts["replica paused"] += 1
                time.sleep(2 * PAUSE_S_MAX)
            for caller in callers:
                caller.join()
        if self._errors:
            raise self._errors[0]
        versions = {each.version for each in self._done if each.kind == "feedback"}
        assert versions == set(range(1, self._logs[0].head().version + 1)), (
            "every version is one acknowledged feedback"
        )
        self.counts["operations"] = len(self._done)
        return self._done

    def _call(self, caller: int, log: RedisLog, replicas: list[Replica], seed: int) -> None:
        chance, sent = random.Random(seed), 0
        try:
            while len(self._done) < self._operations and not self._errors:
                burst = chance.randint(1, BURST_MAX)
                if chance.random() < FEEDBACK_SHARE:
                    events = [Event(id=f"{caller}-{sent + n}", x=ROW, y="yes") for n in range(burst)]
                    sent += burst
                    self._feedback(log, events)
                else:
                    self._predict(chance.choice(replicas), burst)
        except BaseException as error:  # noqa: BLE001 - raised by `play`
            self._errors.append(error)

    def _feedback(self, log: RedisLog, events: list[Event]) -> None:
        """Append at once; under the same ids again until all are acknowledged."""
        items = [Append(encode(event), event.id, "rest:caller") for event in events]
        began, deadline = time.monotonic(), time.monotonic() + DEADLINE_S
        while True:
            try:
                answers = log.append_many(items)
                break
            except Unavailable:
                self.counts["feedback sent again"] += 1
                assert time.monotonic() < deadline, "no acknowledgement"
        ended = time.monotonic()
        for answer in answers:
            assert answer.version is not None
            self._done.append(Operation("feedback", began, ended, answer.version))

    def _predict(self, replica: Replica, burst: int) -> None:
        """Several at once, waited for together."""
        asked = []
        for _ in range(burst):
            began, ended = time.monotonic(), [0.0]
            future = replica.predict([ROW])
            future.add_done_callback(lambda _, ended=ended: ended.__setitem__(0, time.monotonic()))  # type: ignore[misc]
            asked.append((future, began, ended))
        for future, began, ended in asked:
            try:
                version = future.result(DEADLINE_S).version
            except Unavailable:
                self.counts["prediction refused"] += 1
            else:
                # Whoever waits may be woken before the callback has run: then now is when it was answered.
                self._done.append(Operation("predict", began, ended[0] or time.monotonic(), version))
