"""The live page's data: once a second one thread asks the replica, and every open page is told the same.

Pages listen by server-sent events: `hello` (the model, and the points so far), then `now` once a second. A
page that reads slowly misses moments; it holds up nobody, and gives its place to others if it stops reading.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from typing import Any

import msgspec

from odl.errors import OdlError, Unavailable
from odl.fold import Learned
from odl.follower import Follower
from odl.recent import Sums
from odl.status import ReplicaStatus
from seldon.history import History, Tally, empty_sums
from seldon.message import Json
from seldon.metrics import PlaneMetrics
from seldon.service import Service
from seldon.traffic import Traffic

EVERY_S = 1.0
ASK_S_MAX = 5.0  # a replica that turns answers within milliseconds
LISTENERS_MAX = 64  # open pages; each costs 5 KB a second
MARKS_MAX = 100  # drifts, rollbacks and promotions that the charts show
RECENT_FIELDS_MAX = 64  # features of an event that are shown
TEXT_MAX = 200  # characters of a value that are shown

logger = logging.getLogger(__name__)


class Live:
    """Who watches one replica. `start` and `close` it in the event loop that serves."""

    def __init__(
        self, service: Service, metrics: PlaneMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._service = service
        self._traffic = Traffic(metrics)
        self._clock = clock
        self._history = History()
        self._marks: deque[Json] = deque(maxlen=MARKS_MAX)
        self._control: int | None = None  # version of the newest control entry that was seen
        self._version = -1  # at the last tick
        self._ticks = 0
        self._now: bytes = b""  # the newest moment, encoded
        self._waiting: set[asyncio.Event] = set()  # one for each listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        """Begin to take points, once a second."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """End every stream, and the thread soon."""
        self._stop.set()
        self._wake()

    def listen(self) -> AsyncGenerator[bytes, None]:
        """The stream of one page. Raises `Unavailable` beyond `LISTENERS_MAX`."""
        if len(self._waiting) >= LISTENERS_MAX:
            raise Unavailable(f"{LISTENERS_MAX} pages are open already: close one", retry_after_s=10)
        news = asyncio.Event()
        self._waiting.add(news)
        return self._frames(news)

    async def _frames(self, news: asyncio.Event) -> AsyncGenerator[bytes, None]:
        try:
            yield _frame("hello", self.hello())
            if self._now:
                yield self._now
            while not self._stop.is_set():
                await news.wait()
                news.clear()
                if self._now and not self._stop.is_set():  # a moment without listeners is not encoded
                    yield self._now
        finally:
            self._waiting.discard(news)

    def hello(self) -> Json:
        """What a page needs to begin."""
        service = self._service
        return {
            "model": service.name,
            "task": service.task,
            "classes": service.classes,
            "fields": service.fields,
            "learns": service.learns,
            "tokens": service.guard.asks_for_tokens,
            "points": list(self._history.points),
        }

    def tick(self) -> None:
        """Take one moment. Raises `Unavailable` or `TimeoutError` when the replica does not answer."""
        status, sums, recent = self._ask()
        now = self._clock()
        self._traffic.take()
        self._version = status.version
        weights = tuple(status.depth_weights)
        self._history.take(Tally(now, status.version, sums, self._traffic.predictions, weights))
        self._ticks += 1
        if not self._waiting:
            self._now = b""  # whoever comes is not shown an old moment
            return
        shown = [] if self._service.guard.shows_status_to_strangers else [_event(each) for each in recent]
        fleet = self._look(now)
        moment = {
            "tick": self._ticks,
            "time": now,
            "replica": asdict(status),
            "point": self._history.points[-1],
            "traffic": self._traffic.summary(),
            "fleet": fleet,
            "marks": [*self._marks, *map(_drift_mark, fleet.get("drifts", ()))],
            "recent": shown,
        }
        self._now = _frame("now", moment)

    def _ask(self) -> tuple[ReplicaStatus, Sums, list[Learned]]:
        replica, service = self._service.replica, self._service
        # Hashing a large learner takes the replica's thread milliseconds, so not while it is learning.
        idle = not service.learns or replica.health().version == self._version
        status = replica.status(digest=idle, timeout_s=ASK_S_MAX)
        if not service.learns:
            return status, empty_sums(), []
        sums, recent = replica.ask(_scores_of).result(ASK_S_MAX)
        return status, sums, recent

    def _look(self, now: float) -> Json:
        fleet = self._service.fleet
        if fleet is None:
            return {"replicas": []}
        try:
            seen = fleet.look(int(now * 1000))
        except OdlError as error:
            return {"replicas": [], "error": str(error)}
        if self._control is not None and seen["control"] > self._control:
            self._marks.append({"version": seen["control"], "kind": "plan", "what": "rollback or promotion"})
        self._control = seen["control"]
        return seen

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self.tick()
            except (OdlError, TimeoutError) as error:
                self._now = _frame("away", {"reason": str(error) or "the replica does not answer"})
                logger.debug("nothing to show: %s", error)
            if self._loop is not None and not self._stop.is_set():
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for news in self._waiting:
            news.set()


def _scores_of(follower: Follower) -> tuple[Sums, list[Learned]]:
    """On the replica's thread."""
    return Sums.of(follower.fold.scores), list(follower.fold.recent)


def _drift_mark(drift: Json) -> Json:
    return {"version": drift["version"], "kind": "drift", "what": f"drift of {_short(drift['field'])}"}


def _event(learned: Learned) -> Json:
    event = learned.event
    features = list(event.x.items())[:RECENT_FIELDS_MAX]
    return {
        "version": learned.version,
        "id": event.id,
        "source": event.source,
        "time_ms": event.time_ms,
        "label": _short(event.y),
        "prediction": learned.prediction,
        "x": {name: _short(value) for name, value in features},
    }


def _short(value: Any) -> Any:
    return value[:TEXT_MAX] if isinstance(value, str) else value


def _frame(kind: str, message: Json) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(message))
