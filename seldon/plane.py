"""The data plane: what a prediction request and a feedback do, whichever transport brought them.

Our server and the class for seldon-core call these same methods, so both give the same answers.
"""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from odl.errors import InvalidEvent
from odl.event import Event
from odl.feedback import Sink, check_row, prepare
from odl.replica import Answer, Replica
from seldon.answer import prediction_answer, receipt_answer
from seldon.limits import RateBound
from seldon.message import Feedback, Json, SeldonMessage, decode_feedback, decode_message, malformed
from seldon.request import Request, read_request, read_version
from seldon.truth import read_id, read_truth

ANONYMOUS = "anonymous"
CLIENT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # part of a source, which is a key in Redis and a label


class DataPlane:
    """Predictions and feedback of one replica. Safe to use from many threads."""

    def __init__(
        self,
        replica: Replica,
        sink: Sink,
        *,
        names: Sequence[str] = (),
        bound: RateBound | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`names`: the declared order of features, for rows without names; `bound`: of feedback, if any."""
        self.replica = replica
        self._sink = sink
        self.names = tuple(names)
        self._bound = bound
        self._clock_ms = clock_ms

    def ask(self, body: bytes | Json) -> tuple[Request, Future[Answer]]:
        """Check a prediction request and hand it to the replica; `answer` makes the reply of both.
        Raises `InvalidEvent`."""
        request = read_request(decode_message(body), self.names)
        return request, self.predictions(request)

    def predictions(self, request: Request) -> Future[Answer]:
        """Hand a request to the replica, whatever it was read from. Raises `InvalidEvent`."""
        for row in request.rows:
            check_row(row, self.replica.schema)
        return self.replica.predict(request.rows, request.min_version)

    def answer(self, request: Request, answer: Answer) -> Json:
        """The SeldonMessage for a request."""
        return prediction_answer(
            request,
            answer.predictions,
            version=answer.version,
            epoch=answer.epoch,
            stale=answer.stale,
        )

    def predict(self, body: bytes | Json) -> Json:
        """`ask`, wait, `answer`. Raises `InvalidEvent` or `Unavailable`."""
        request, future = self.ask(body)
        return self.answer(request, future.result())

    def feedback(self, body: bytes | Json, *, client: str = "", key: str = "") -> Json:
        """Enter feedback: every row is an event of its own, and all are checked before the first is sent.
        Returns when it is as durable as `meta.tags.durability` says. Blocks.

        `client`: who sends (header X-Client-Id), `key`: the header Idempotency-Key.
        Raises `InvalidEvent` or `Unavailable`.
        """
        puid, events = self._events(decode_feedback(body), client or ANONYMOUS, key)
        if self._bound is not None:
            self._bound.take(events[0].source, len(events))
        return receipt_answer(puid, [self._sink.submit(event) for event in events])

    def _events(self, feedback: Feedback, client: str, key: str) -> tuple[str, list[Event]]:
        if not isinstance(feedback.request, SeldonMessage):
            raise malformed("expected the features in request, received none")
        if not CLIENT.fullmatch(client):
            raise InvalidEvent(
                "expected X-Client-Id of 1 to 64 letters, digits, dots, dashes and underscores",
                reason="BAD_CLIENT",
            )
        labels = read_truth(feedback)
        puid = read_id(feedback, key)
        rows = read_request(feedback.request, self.names).rows
        if len(rows) != len(labels):
            raise InvalidEvent(
                f"expected one label for each of {len(rows)} rows, received {len(labels)}", reason="BAD_TRUTH"
            )
        version = 0
        if isinstance(feedback.response, SeldonMessage):
            version = read_version(feedback.response.meta.tags, "version")
        now_ms = self._clock_ms()
        events = [
            Event(
                id=puid if len(rows) == 1 else f"{puid}/{number}",
                x=row,
                y=label,
                time_ms=now_ms,
                source=f"rest:{client}",
                version=version,
            )
            for number, (row, label) in enumerate(zip(rows, labels, strict=True))
        ]
        return puid, [prepare(event, self.replica.schema) for event in events]
