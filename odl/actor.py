"""The actor: what a replica does in one turn, without the thread that runs it.

Each turn takes all who wait, *then* reads the log, learns what is new and answers them all. A request is
thus only answered by a log read that started after it arrived (raft's ReadIndex rule). Turns belong to one
thread. Another one that has read the head itself may ask for predictions at that head (`answer_at`): between
two turns, and only while the fold stands exactly there. The clock is injected, so a simulation runs turns in
virtual time.
"""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

from odl.errors import (
    HistoryLost,
    InvalidEvent,
    LogMissing,
    OdlError,
    OtherFold,
    TooFarBehind,
    Unavailable,
)
from odl.event import Features
from odl.follower import Follower
from odl.log import Head
from odl.mailbox import Answer, Ask, Predict, Request, fail
from odl.remembered import PredictionStore, Remembered

logger = logging.getLogger(__name__)

TURN_S_MAX = 0.25  # of learning in one turn, about: others wait for its end, though not for an answer by it
TURN_FIRST = 1024  # entries of the first turn, until it is known how quickly this learner learns
TURN_GROWTH_MAX = 8  # from one turn to the next
SPEND_S_MAX = 0.002  # for predictions between two turns: whoever asks for them has others to serve

Asked: TypeAlias = tuple[list[Features], int]  # rows, and the version that their sender must see
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ReplicaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a replica serves; the `[serve]` table of a model file."""

    policy: Literal["refuse", "stale"] = "refuse"  # what to do when the newest version is out of reach
    stale_for_s: Positive = 60.0  # `stale` answers at most this long after the head was last reached
    deadline_s: Positive = 2.0  # a prediction waits this long for its version; clients give up later
    learn_per_turn_max: Count = 32_768  # fewer where that many take longer than `TURN_S_MAX`
    idle_poll_ms: Positive = 20.0  # an idle replica keeps up all the same; 50 reads/s cost it 0.5 % of a core
    wait_poll_ms: Positive = 2.0  # while a caller waits for a version that is not in the log yet
    retry_every_s: Positive = 0.25  # without requests, how often a log that was out of reach is tried again
    waiting_max: Count = 4096  # callers beyond that are refused at once: they would miss their deadlines
    rows_max: Count = 1024  # rows of one request; everybody behind it waits for them
    snapshot_every: Count = 10_000  # versions between snapshots: seconds of learning to catch up
    lag_max: Count = 100_000  # the log takes no entries while a replica that had joined is further behind


class Actor:
    """Owns a follower and those who wait for its answers. Only one thread may use it, but for `answer_at`,
    and for looking at its age, lag and trouble."""

    def __init__(
        self,
        follower: Follower,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        predictions: PredictionStore | None = None,
    ) -> None:
        self.follower = follower
        self.predictions = predictions  # where requests with ids are remembered
        self.settings = settings
        self.trouble: OdlError | None = None  # why the last read failed
        self._clock = clock
        self._waiting: list[Predict] = []
        self._asking: list[Ask] = []
        self._head: Head | None = None  # seen by the last read; None while that is unknown
        self._fresh_at = -math.inf  # when the read began that last found the fold at the head
        self._beside_at = -math.inf  # the same, by somebody beside the thread
        self._retry_at = -math.inf  # history that cannot be rebuilt is not tried again before that
        self._turn_size = min(TURN_FIRST, settings.learn_per_turn_max)
        self._digest = ("", "")  # a chain, and the digest of the learner there
        self.has_joined = False  # was at the head since it began to fold: those who still catch up have not
        self._turning = threading.Lock()  # who holds it may use the follower
        self._is_whole = True  # False in a turn and after one that failed: the learner cannot be trusted

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits for a later turn."""
        return bool(self._waiting)

    @property
    def lag(self) -> int:
        """Entries seen by the last read and not learned yet."""
        return self._head.version - self.follower.fold.version if self._head else 0

    def age_s(self) -> float:
        """How long ago the fold was known to be at the head."""
        return self._clock() - self._fresh_at

    def request(self, rows: list[Features], min_version: int = 0, ids: Sequence[str] = ()) -> Predict:
        """A request that arrives now, to be passed to the next turn."""
        return Predict(rows, min_version, self._clock() + self.settings.deadline_s, ids=ids)

    def turn(self, requests: list[Request]) -> float:
        """Read the log once, learn, answer everybody who can be answered. Returns for how many seconds
        further requests may be waited for before the next turn is due."""
        with self._turning:
            self._is_whole = False
            due_s = self._turn(requests)
            self._is_whole = True
        return due_s

    def answer_at(
        self, head: Head, asked: Sequence[Asked], began: float = -math.inf
    ) -> list[Answer | Exception | None]:
        """Predictions at `head`, which somebody began to read at `began`, for those who had asked by then:
        what each is to be told, or None if it has to wait for a turn. That is everybody unless the fold
        stands exactly there, and whoever comes after `SPEND_S_MAX`. For any thread; never waits."""
        told: list[Answer | Exception | None] = [None] * len(asked)
        if self.predictions is not None or not self._turning.acquire(blocking=False):
            return told
        try:
            if self._is_whole and self.trouble is None and self.follower.is_at(head):
                self._fresh_at, self._beside_at = max(self._fresh_at, began), began
                until = self._clock() + SPEND_S_MAX
                for at, (rows, version_min) in enumerate(asked):
                    if version_min <= head.version:
                        told[at] = self._predict(rows, stale=False)
                    if self._clock() > until:
                        break
        finally:
            self._turning.release()
        return told

    @property
    def is_relieved(self) -> bool:
        """Whether an idle replica's turn would bring nothing, since `answer_at` has just seen the head."""
        is_due = self._waiting or self.trouble is not None or self._head is None or self.lag > 0
        return not is_due and self._clock() - self._beside_at < self.settings.idle_poll_ms / 1000

    def close(self) -> None:
        """Answer nothing more between turns, because no further turn will come."""
        with self._turning:
            self._is_whole = False

    def _turn(self, requests: list[Request]) -> float:
        for request in requests:
            if isinstance(request, Predict):
                self._waiting.append(request)
                self._remember(request)  # stored by the read below, so before anybody is answered
            else:
                self._asking.append(request)
        self._catch_up()
        self._answer_waiting()
        while self._asking:
            self._run_ask(self._asking.pop(0))
        settings = self.settings
        if self.trouble is not None:
            return settings.retry_every_s
        if self._head is None or self.follower.fold.version < self._head.version:
            return 0.0
        is_awaited = self._waiting or (self.predictions is not None and self.predictions.has_news)
        return (settings.wait_poll_ms if is_awaited else settings.idle_poll_ms) / 1000

    def _remember(self, request: Predict, answer: Answer | None = None) -> None:
        if self.predictions is None:
            return
        for at, (prediction_id, row) in enumerate(zip(request.ids, request.rows, strict=False)):
            record = Remembered(row)
            if answer is not None:
                record = Remembered(row, answer.predictions[at], answer.version, answer.epoch)
            self.predictions.put(prediction_id, record)

    def _catch_up(self) -> None:
        began = self._clock()
        if began < self._retry_at:
            return
        try:
            self._head = head = self.follower.step(self._turn_size)
        except (Unavailable, HistoryLost) as error:
            if self.trouble is None:
                logger.warning("cannot follow the log: %s", error)
            self.trouble = error
            if isinstance(error, HistoryLost):
                self._retry_at = began + self.settings.retry_every_s
            if isinstance(error, HistoryLost | LogMissing | OtherFold):
                self._fresh_at = -math.inf  # may be a lost branch, or another's: not even stale answers
            return
        self.trouble = None
        self._pace(self._clock() - began)
        if head is None:
            self._fresh_at = -math.inf
            self.has_joined = False
        for request in self._waiting:
            # Every head since it arrived will do, as long as the log still leads to it.
            if head is None or request.needs is None or self._is_lost(request.needs, head):
                request.needs = head
        if head is not None and self.follower.fold.version >= head.version:
            self._fresh_at = began
            self.has_joined = True

    def _pace(self, seconds: float) -> None:
        """Make turns as long as they may be: between two of them nothing is learned."""
        if self.follower.taken >= self._turn_size:
            size = round(self._turn_size * TURN_S_MAX / max(seconds, TURN_S_MAX / TURN_GROWTH_MAX))
            self._turn_size = min(max(size, 1), self.settings.learn_per_turn_max)

    def _is_lost(self, seen: Head, head: Head) -> bool:
        """Whether the log that ends with `head` has left the branch on which `seen` was its end: it is
        shorter, or this turn's entries pass that version by another chain."""
        return head.version < seen.version or self.follower.chain_at(seen.version) not in (seen.chain, None)

    def _answer_waiting(self) -> None:
        now, version = self._clock(), self.follower.fold.version
        still_waiting = []
        for request in self._waiting:
            if self.trouble is not None:
                self._answer_by_policy(request, self.trouble, now)
            elif request.needs is not None and version >= max(request.needs.version, request.version_min):
                self._answer(request, stale=False)
            elif now >= request.deadline:
                self._answer_by_policy(request, self._too_far_behind(request), now)
            else:
                still_waiting.append(request)
        self._waiting = still_waiting

    def _answer_by_policy(self, request: Predict, error: OdlError, now: float) -> None:
        settings = self.settings
        reached = self.follower.fold.version >= request.version_min
        if settings.policy == "stale" and reached and now - self._fresh_at <= settings.stale_for_s:
            self._answer(request, stale=True)
        else:
            fail(request, error)

    def _answer(self, request: Predict, stale: bool) -> None:
        if not request.future.set_running_or_notify_cancel():
            return
        answer = self._predict(request.rows, stale)
        if isinstance(answer, Exception):
            request.future.set_exception(answer)
        else:
            self._remember(request, answer)  # travels with the next read, which is soon
            request.future.set_result(answer)

    def _predict(self, rows: list[Features], stale: bool) -> Answer | Exception:
        follower = self.follower
        predict_one = follower.fold.learner.predict_one
        try:
            predictions = [predict_one(row) for row in rows]
        except ValueError as error:
            return InvalidEvent(str(error), status=422, reason="BAD_FEATURES")
        except Exception as error:  # predicting changes nothing, so it is this caller's trouble alone
            logger.exception("a prediction failed")
            return error
        return Answer(predictions, follower.fold.version, follower.epoch, stale)

    def _too_far_behind(self, request: Predict) -> TooFarBehind:
        version, epoch = self.follower.fold.version, self.follower.epoch
        if self.lag or request.needs is None:
            return TooFarBehind(f"this replica is at version {version}, {self.lag} behind: try again")
        return TooFarBehind(
            f"expected version {request.version_min} or later, the log ends at {version} (epoch {epoch}): "
            "the event has not arrived yet, or was lost with an earlier epoch"
        )

    def _run_ask(self, ask: Ask) -> None:
        if not ask.future.set_running_or_notify_cancel():
            return
        try:
            result = ask.function()
        except Exception as error:  # noqa: BLE001 - it is the asker's, who receives it
            ask.future.set_exception(error)
        else:
            ask.future.set_result(result)

    def fail_all(self, reason: OdlError) -> None:
        """Fail everybody who waits, because no further turn will come."""
        requests: list[Request] = [*self._waiting, *self._asking]
        for request in requests:
            fail(request, reason)
        self._waiting, self._asking = [], []

    def digest(self) -> str:
        """The learner's digest, hashed once per version."""
        fold = self.follower.fold
        if self._digest[0] != fold.chain:
            self._digest = (fold.chain, fold.learner.digest())
        return self._digest[1]
