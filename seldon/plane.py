"""The data plane: what a prediction request and a feedback do, whichever transport brought them.

Our server and the class for seldon-core call these same methods, so both give the same answers.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import msgspec

from odl.errors import Unavailable
from odl.event import Event
from odl.feedback import Receipt, Sink, check_row
from odl.log import Log, Outcome
from odl.replica import Answer, Replica
from seldon.answer import prediction_answer, receipt_answer
from seldon.intake import ANONYMOUS, Intake, row_ids, tags_of
from seldon.limits import RateBound
from seldon.message import Feedback, Json, decode_feedback, decode_message, malformed
from seldon.puid import new_puid
from seldon.request import Request, read_request
from streaming.join import Join, Known

VISIBLE_POLL_S = 0.01  # how often somebody who waits for a version looks for it; a consumer needs as long
IN_LOG = "log"  # who had an event that was not sent on, since the log has it


class Incoming(msgspec.Struct, frozen=True):
    """A feedback message that is decoded."""

    feedback: Feedback
    client: str  # who sends
    key: str  # the header Idempotency-Key, or empty
    waits: bool  # its sender waits until the log has it
    blocks: bool  # who reads or answers it may have to wait for a server


class DataPlane:
    """Predictions and feedback of one replica. Safe to use from many threads."""

    def __init__(
        self,
        replica: Replica,
        sink: Sink,
        *,
        names: Sequence[str] = (),
        bound: RateBound | None = None,
        log: Log | None = None,
        join: Join | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`names`: the declared order of features, for rows without names; `bound`: of feedback, if any;
        `log`: where to look for the version of feedback that somebody waits for; `join`: what makes events
        of labels that come without features."""
        self.replica = replica
        self.sink = sink
        self.names = tuple(names)
        self._bound = bound
        self._log = log
        self._intake = Intake(self.names, join, clock_ms)

    def read(self, body: bytes | Json) -> Request:
        """The request of a message, checked: what `predictions` and `answer` need. Raises `InvalidEvent`."""
        request = self.named(read_request(decode_message(body), self.names))
        self.check(request)
        return request

    def check(self, request: Request) -> None:
        """Raise `InvalidEvent` unless every row may be predicted."""
        schema = self.replica.schema
        for row in request.rows:
            check_row(row, schema)

    def named(self, request: Request) -> Request:
        """The request with an id to be remembered under, where this replica remembers predictions."""
        if request.puid or not self.replica.remembers:
            return request
        return msgspec.structs.replace(request, puid=new_puid())

    def predictions(self, request: Request) -> Future[Answer]:
        """Hand a request that is checked to the replica, whatever it was read from."""
        ids = row_ids(request.puid, len(request.rows)) if request.puid and self.replica.remembers else ()
        return self.replica.predict(request.rows, request.min_version, ids)

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
        """`read`, wait for `predictions`, `answer`. Raises `InvalidEvent` or `Unavailable`."""
        request = self.read(body)
        return self.answer(request, self.predictions(request).result())

    def feedback(self, body: bytes | Json, *, client: str = "", key: str = "", wait: str = "") -> Json:
        """Enter feedback: every row is an event of its own, and all are checked before the first is sent.
        Returns when it is as durable as `meta.tags.durability` says. Blocks.

        `client`: who sends (header X-Client-Id), `key`: the header Idempotency-Key, `wait`: "version" to
        return once the log has it (or `meta.tags.wait`), at most for as long as a prediction may take; after
        that the answer says `visible: false`.
        Raises `InvalidEvent` or `Unavailable`.
        """
        incoming = self.incoming(body, client=client, key=key, wait=wait)
        puid, events = self.events(incoming)
        return self.receipt(incoming, puid, events, self.enter(events))

    def incoming(self, body: bytes | Json, *, client: str, key: str, wait: str) -> Incoming:
        """The message of a feedback, before it is looked at. Raises `InvalidEvent`."""
        feedback = decode_feedback(body)
        wait = wait or tags_of(feedback).get("wait", "")
        if wait not in ("", "version"):
            raise malformed("expected 'version' in wait")
        blocks = bool(wait) or self._intake.joins(feedback)
        return Incoming(feedback, client or ANONYMOUS, key, bool(wait), blocks)

    def events(self, incoming: Incoming) -> tuple[str, list[Event | Known]]:
        """The feedback's id, and what its rows mean, checked. Blocks only if the message says so. Raises
        `InvalidEvent` or `Unavailable`."""
        client = incoming.client
        puid, events = self._intake.read(incoming.feedback, self.replica.schema, client, incoming.key)
        if self._bound is not None:
            self._bound.take(f"rest:{client}", len(events))
        return puid, events

    def enter(self, events: Sequence[Event | Known]) -> list[Receipt]:
        """Submit events that are checked. Blocks. Raises `InvalidEvent` or `Unavailable`."""
        return [self._enter(event) for event in events]

    def receipt(
        self, incoming: Incoming, puid: str, events: Sequence[Event | Known], receipts: list[Receipt]
    ) -> Json:
        """The SeldonMessage for a feedback. Blocks only if its sender waits for a version."""
        if incoming.waits:
            receipts = self._wait_for_versions([_id_of(event) for event in events], receipts)
        answer = receipt_answer(puid, receipts)
        if incoming.waits and any(receipt.version is None for receipt in receipts):
            answer["meta"]["tags"]["visible"] = False
        return answer

    def _enter(self, event: Event | Known) -> Receipt:
        if isinstance(event, Known):
            return Receipt(Outcome.DUPLICATE, event.version, IN_LOG)
        return self.sink.submit(event)

    def _wait_for_versions(self, ids: Sequence[str], receipts: list[Receipt]) -> list[Receipt]:
        """The receipts with the versions that came to be known in time. What is kept is kept: if the log
        cannot be reached, nothing is refused any more."""
        deadline = time.monotonic() + self.replica.settings.deadline_s
        while self._log is not None and any(receipt.version is None for receipt in receipts):
            with contextlib.suppress(Unavailable):
                found = self._log.find(ids)
                receipts = [
                    replace(receipt, version=at if receipt.version is None else receipt.version)
                    for receipt, at in zip(receipts, found, strict=True)
                ]
            if time.monotonic() >= deadline:
                break
            time.sleep(VISIBLE_POLL_S)
        return receipts


def _id_of(event: Event | Known) -> str:
    return event.id if isinstance(event, Event) else ""
