"""A service: one replica with everything it needs, as the transports see it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odl.errors import Unavailable
from odl.feedback import DirectSink
from odl.replica import Replica, ReplicaStatus
from seldon.deadline import Deadline
from seldon.guard import Guard
from seldon.message import Json
from seldon.metrics import PlaneMetrics
from seldon.plane import DataPlane
from seldon.traces import Tracer

if TYPE_CHECKING:
    from odl.redis_log import RedisLog
    from seldon.appender import Appender
    from seldon.fleet import Fleet  # needs a client of Redis, which a frozen model does without
    from seldon.shortcut import Shortcut


class Service:
    """One open replica. `close` it once; what it was made of closes in reverse order."""

    def __init__(
        self,
        name: str,
        replica: Replica,
        plane: DataPlane,
        parts: ExitStack,
        *,
        task: str,
        fields: Mapping[str, str] | None = None,
        classes: Sequence[str] = (),
        greeting: str = "",
        guard: Guard | None = None,
        deadline: Deadline | None = None,
        metrics: PlaneMetrics | None = None,
        tracer: Tracer | None = None,
        dead_letters: Callable[[], Json] | None = None,
        fleet: "Fleet | None" = None,
        log: "RedisLog | None" = None,
        learns: bool = True,
    ) -> None:
        """`parts`: what to close; `fields`: declared features and their kinds, in order; `classes`: declared
        labels; `greeting`: one line for who starts it."""
        self.name = name  # of the model, which is that of the log
        self.replica = replica
        self.plane = plane
        self.greeting = greeting
        self.guard = guard or Guard()  # what every transport asks before it lets a request in
        self.deadline = deadline or Deadline()  # by which all is closed, once closing has begun
        self.metrics = metrics or PlaneMetrics()  # what every transport counts in
        self.tracer = tracer  # None: no traces
        self.fleet = fleet  # the log and the other replicas, for the page; None: there are none
        self._log = log  # whose head an event loop may read by itself; None: it is the replica's thread's
        self.learns = learns  # False: a frozen model
        self._parts = parts
        self._dead_letters = dead_letters
        self.task = task  # binary, multiclass or regression
        self.fields = dict(fields or {})
        self.classes = tuple(classes)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer who waits, flush what was accepted, disconnect, and do not wait for Redis or Kafka beyond
        the deadline. May be called twice."""
        self.deadline.start()
        self._parts.close()

    def shortcut(self) -> "Shortcut | None":
        """One for the event loop of a server; None where every prediction is the replica's thread's."""
        if self._log is None:
            return None
        from seldon.shortcut import Shortcut
        from seldon.wire import wire_to

        replica, log = self.replica, self._log
        return Shortcut(replica, log, lambda: wire_to(replica, log), self.metrics.read_seconds.observe)

    def appender(self) -> "Appender | None":
        """One for the event loop of a server; None where feedback does not go into the log directly."""
        if self._log is None or not isinstance(self.plane.sink, DirectSink):
            return None
        from seldon.appender import Appender
        from seldon.wire import wire_to

        replica, log = self.replica, self._log
        return Appender(log, self.plane.sink, lambda: wire_to(replica, log))

    def live(self) -> Json:
        """That the replica's thread turns. Raises `Unavailable` when it gave up: restart the process."""
        health = self.replica.health()
        if not health.alive:
            raise Unavailable(health.reason)
        return {"version": health.version, "epoch": health.epoch}

    def health(self) -> Json:
        """That the learner is there and in step. Raises `Unavailable` with the reason when it is not."""
        health = self.replica.health()
        if not health.ready:
            raise Unavailable(f"this replica is not ready: {health.reason}")
        return {"version": health.version, "epoch": health.epoch}

    def describe(self, status: ReplicaStatus) -> dict[str, Any]:
        """The replica's status under its model's name, as plain JSON types."""
        return {"model": self.name, **asdict(status)}

    def dead_letters(self) -> Json:
        """The newest feedback by Kafka that could not be learned; none without Kafka. Blocks. Raises
        `Unavailable`."""
        return self._dead_letters() if self._dead_letters else {"topic": None, "letters": []}

    def metadata(self) -> Json:
        """The model in the form of Seldon's metadata."""
        return {
            "name": self.name,
            "platform": "odl",
            "versions": [self.replica.fold_id],
            "inputs": [{"messagetype": "jsonData", "schema": {"names": list(self.fields)}}],
            "outputs": [{"messagetype": "jsonData", "schema": {"task": self.task}}],
            "custom": {},
        }
