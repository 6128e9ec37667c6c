"""A replica: one thread owns the learner, and everybody else leaves requests in its mailbox.

Whoever can read the head of the log by itself may ask for predictions at that head instead (`answer_at`).
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from odl.actor import Actor, Asked, ReplicaSettings
from odl.errors import InvalidEvent, Unavailable
from odl.event import Features
from odl.fold import LoadLearner
from odl.folds import LearnerOf
from odl.follower import Follower
from odl.learner import Learner, Schema
from odl.log import Head, Log
from odl.mailbox import Answer, Ask, Mailbox, fail
from odl.remembered import PredictionStore
from odl.snapshots import SnapshotStore
from odl.status import Health, ReplicaStatus

__all__ = ["Answer", "Health", "Replica", "ReplicaSettings", "ReplicaStatus"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Replica:
    """Serves the newest version of a model. `start` it, `predict`, `stop` it; or use it in `with`."""

    def __init__(
        self,
        new_learner: Callable[[], Learner],
        load_learner: LoadLearner,
        log: Log,
        snapshots: SnapshotStore | None = None,
        *,
        learner_of: LearnerOf | None = None,
        predictions: PredictionStore | None = None,
        settings: ReplicaSettings | None = None,
        replica_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or ReplicaSettings()
        self.replica_id = replica_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        follower = Follower(new_learner, load_learner, log, snapshots, learner_of)
        self._actor = Actor(follower, self.settings, clock, predictions)
        self._mailbox = Mailbox()
        self._mailbox.close(Unavailable("this replica has not been started"))
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failure = ""  # why the thread gave up
        self.confirmed = ""  # sha256 of the newest snapshot that this process has loaded and found good

    @property
    def fold_id(self) -> str:
        """Identity of the arithmetic that serves; a promotion changes it."""
        return self._actor.follower.fold.learner.fold_id

    @property
    def remembers(self) -> bool:
        """Whether predictions are remembered, so that feedback needs only id and truth."""
        return self._actor.predictions is not None

    @property
    def schema(self) -> Schema:
        """What the learner that serves accepts; a promotion may change it."""
        return self._actor.follower.fold.learner.schema

    @property
    def version(self) -> int:
        """Entries of the log that it has learned, at this moment."""
        return self._actor.follower.fold.version

    @property
    def has_joined(self) -> bool:
        """Whether it was at the head since it began to fold; those who still catch up hold up nobody."""
        return self._actor.has_joined

    def age_s(self) -> float:
        """How many seconds ago this replica was known to be at the head of the log; infinite before that."""
        return self._actor.age_s()

    def start(self) -> None:
        """Start the thread. It restores the newest snapshot, or folds the log from its beginning."""
        self._mailbox.open()
        self._thread = threading.Thread(target=self._run, name=f"replica {self.replica_id}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Answer everybody who waits, then end the thread. Later requests fail with `Unavailable`."""
        self._stopping = True
        self._mailbox.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.error("replica %s did not stop within %s s", self.replica_id, timeout_s)

    def __enter__(self) -> "Replica":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def predict(
        self, rows: list[Features], min_version: int = 0, ids: Sequence[str] = ()
    ) -> "Future[Answer]":
        """Predictions by the version that is newest in the log at this moment, or by a newer one.

        The future fails with `InvalidEvent` (too many rows, or one that the learner refuses),
        `Unavailable` (log out of reach), `TooFarBehind` (not at `min_version` or the head before the
        deadline) or `HistoryLost`. Without rows the answer only says the version.
        `ids`: one for each row to be remembered under, where this replica remembers predictions.
        """
        settings = self.settings
        request = self._actor.request(rows, min_version, ids)
        if len(rows) > settings.rows_max:
            wanted = f"expected at most {settings.rows_max} rows in one request, received {len(rows)}"
            fail(request, InvalidEvent(wanted, status=413, reason="TOO_MANY_ROWS"))
        elif len(self._mailbox) >= settings.waiting_max:
            fail(request, Unavailable(f"more than {settings.waiting_max} requests wait for this replica"))
        else:
            self._mailbox.put(request)
        return request.future

    def answer_at(self, head: Head, asked: Sequence[Asked], began: float) -> list[Answer | Exception | None]:
        """Predictions on the caller's thread, for rows that were asked for before the caller began to read
        `head`, at `began` on this replica's clock: what to tell each of them. None: `predict` has to see to
        it, since this replica has something to learn, is in the middle of a turn, or has stopped. Never
        waits. Not for replicas that remember."""
        return self._actor.answer_at(head, asked, began)

    def ask(self, function: Callable[[Follower], T]) -> "Future[T]":
        """Call `function` with the follower on the thread that owns it, at the end of a turn."""
        request = Ask(lambda: function(self._actor.follower))
        self._mailbox.put(request)
        return request.future

    def ask_status(self, digest: bool = True) -> "Future[ReplicaStatus]":
        """The status, later. `digest=False` saves hashing the learner (16 MB for the largest)."""
        return self.ask(lambda _: self._status(digest))

    def status(self, digest: bool = True, timeout_s: float = 10.0) -> ReplicaStatus:
        """The status. Raises `Unavailable` when the replica has stopped or failed, or `TimeoutError`."""
        return self.ask_status(digest).result(timeout_s)

    def health(self) -> Health:
        """Liveness and readiness at once, without the mailbox. Ready means: was at the head within the
        time that the policy lets a prediction be late."""
        settings, actor = self.settings, self._actor
        alive = not self._failure and self._thread is not None and self._thread.is_alive()
        late_s = settings.stale_for_s if settings.policy == "stale" else settings.deadline_s
        ready = alive and actor.age_s() <= late_s
        version, epoch, trouble = actor.follower.fold.version, actor.follower.epoch, actor.trouble
        reason = ""
        if not alive:
            reason = self._failure or "not running"
        elif not ready:
            state = "cannot keep up" if actor.has_joined else "catching up"
            reason = str(trouble) if trouble else f"{state}: at version {version}, {actor.lag} behind the log"
        return Health(alive, ready, reason, version, epoch)

    def _status(self, digest: bool) -> ReplicaStatus:
        follower, health = self._actor.follower, self.health()
        fold = follower.fold
        scores = fold.scores.scores()
        return ReplicaStatus(
            replica_id=self.replica_id,
            version=fold.version,
            epoch=follower.epoch,
            chain=fold.chain,
            digest=self._actor.digest() if digest else "",
            fold_id=self.fold_id,
            events=scores.events,
            log_id=follower.log_id,
            lag=self._actor.lag,
            accuracy=scores.accuracy,
            log_loss=scores.log_loss,
            base_rate_log_loss=scores.base_rate_log_loss,
            auc=scores.auc,
            mae=scores.mae,
            rmse=scores.rmse,
            depth_weights=[float(weight) for weight in fold.learner.depth_weights()],
            skipped=fold.skipped,
            resets=follower.resets,
            ready=health.ready,
            reason=health.reason,
        )

    def _flush_predictions(self) -> None:
        try:
            if self._actor.predictions is not None:
                self._actor.predictions.flush()
        except Unavailable as error:
            logger.warning("the last predictions are not remembered: %s", error)

    def _run(self) -> None:
        wait_s = 0.0
        try:
            while not self._stopping:
                requests = self._mailbox.take(wait_s)
                if requests or not self._actor.is_relieved:
                    wait_s = self._actor.turn(requests)
            self._actor.turn(self._mailbox.take(0))
            while self._actor.has_waiting:  # ends: every request has a deadline
                time.sleep(min(self._actor.turn([]), self.settings.wait_poll_ms / 1000))
            self._flush_predictions()
        except Exception as error:
            self._failure = f"the replica failed: {type(error).__name__}: {error}"
            logger.exception("replica %s gave up", self.replica_id)
        refusal = Unavailable(self._failure or "this replica is stopping")
        self._actor.close()
        self._mailbox.close(refusal)
        self._actor.fail_all(refusal)
