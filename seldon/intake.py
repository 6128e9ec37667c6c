"""The intake: from a feedback message to the events it means, all checked before the first one is sent.

Feedback that brings the features is an event as it stands. Feedback that brings an id and a truth alone, or
that changes an earlier label (`meta.tags.corrects`, `meta.tags.retracts`), goes through the join.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from odl.errors import InvalidEvent
from odl.event import CORRECTIONS_MAX, Event, Label
from odl.feedback import prepare
from odl.learner import Schema
from seldon.message import Feedback, SeldonMessage, malformed
from seldon.request import read_request, read_version
from seldon.truth import read_id, read_truth
from streaming.join import Join, Known, LateLabel

ANONYMOUS = "anonymous"
CLIENT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # part of a source, which is a key in Redis and a label


class Intake:
    """Reads feedback for one model. Any thread."""

    def __init__(self, names: Sequence[str], join: Join | None, clock_ms: Callable[[], int]) -> None:
        """`names`: the declared order of features; `join`: None refuses labels without features."""
        self._names = names
        self._join = join
        self._clock_ms = clock_ms

    def joins(self, feedback: Feedback) -> bool:
        """Whether `read` asks the join, and so may have to wait for a server. Raises `InvalidEvent`."""
        if self._join is None:
            return False
        tags = tags_of(feedback)
        return bool(_correction(tags)) or _retraction(tags) or not _has_features(feedback)

    def read(
        self, feedback: Feedback, schema: Schema, client: str, key: str
    ) -> tuple[str, list[Event | Known]]:
        """The feedback's id and what its rows mean. Raises `InvalidEvent`, or `Unavailable` from the join."""
        if not CLIENT.fullmatch(client):
            raise InvalidEvent(
                "expected X-Client-Id of 1 to 64 letters, digits, dots, dashes and underscores",
                reason="BAD_CLIENT",
            )
        tags = tags_of(feedback)
        corrects, retracts = _correction(tags), _retraction(tags)
        if self._join is not None and (corrects or retracts or not _has_features(feedback)):
            labels: list[Label] | list[None] = [None] if retracts else read_truth(feedback)
            puid = read_id(feedback, key)
            late = [
                LateLabel(row_id, label, corrects, retracts, time_ms=self._clock_ms())
                for row_id, label in zip(row_ids(puid, len(labels)), labels, strict=True)
            ]
            found = [_or_raise(each) for each in self._join.resolve(late)]
        else:
            puid, found = self._whole(feedback, key)
        for at, each in enumerate(found):
            if isinstance(each, Event):
                found[at] = prepare(msgspec.structs.replace(each, source=f"rest:{client}"), schema)
        return puid, found

    def _whole(self, feedback: Feedback, key: str) -> tuple[str, list[Event | Known]]:
        """Events of feedback that brings its features."""
        if not isinstance(feedback.request, SeldonMessage):
            raise malformed("expected the features in request, received none")
        labels = read_truth(feedback)
        puid = read_id(feedback, key)
        rows = read_request(feedback.request, self._names).rows
        if len(rows) != len(labels):
            raise InvalidEvent(
                f"expected one label for each of {len(rows)} rows, received {len(labels)}", reason="BAD_TRUTH"
            )
        version = 0
        if isinstance(feedback.response, SeldonMessage):
            version = read_version(feedback.response.meta.tags, "version")
        now_ms = self._clock_ms()
        return puid, [
            Event(id=row_id, x=row, y=label, time_ms=now_ms, version=version)
            for row_id, row, label in zip(row_ids(puid, len(rows)), rows, labels, strict=True)
        ]


def row_ids(puid: str, n_rows: int) -> list[str]:
    """The ids of a message's rows.

    >>> row_ids("p", 1), row_ids("p", 2)
    (['p'], ['p/0', 'p/1'])
    """
    return [puid] if n_rows == 1 else [f"{puid}/{number}" for number in range(n_rows)]


def tags_of(feedback: Feedback) -> dict[str, Any]:
    """The tags of a feedback's parts; the request's go first: the response is an answer sent back."""
    tags: dict[str, Any] = {}
    for part in (feedback.response, feedback.truth, feedback.request):
        if isinstance(part, SeldonMessage):
            tags |= part.meta.tags
    return tags


def _has_features(feedback: Feedback) -> bool:
    part = feedback.request
    return isinstance(part, SeldonMessage) and not part.data is part.jsonData is part.strData is UNSET


def _correction(tags: dict[str, Any]) -> bool | int:
    value = tags.get("corrects", False)
    if isinstance(value, bool):
        return value
    # protobuf makes every number a float
    number = int(value) if isinstance(value, int | float) and float(value).is_integer() else 0
    if not 1 <= number <= CORRECTIONS_MAX:
        raise malformed(f"expected true or a whole number from 1 to {CORRECTIONS_MAX} in meta.tags.corrects")
    return number


def _retraction(tags: dict[str, Any]) -> bool:
    value = tags.get("retracts", False)
    if not isinstance(value, bool):
        raise malformed("expected true or false in meta.tags.retracts")
    return value


def _or_raise(found: Event | Known | InvalidEvent) -> Event | Known:
    if isinstance(found, InvalidEvent):
        raise found
    return found
