"""Feedback: from a sender's event to the log. REST and Kafka validate with the same `prepare`."""

from dataclasses import dataclass
from typing import Protocol

from odl.errors import InvalidEvent
from odl.event import Event, Features, check_bounds, encode
from odl.event import check_features as check_feature_bounds
from odl.learner import Schema
from odl.log import Append, Appended, Log, Outcome


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a sender is told about one event."""

    outcome: Outcome  # accepted or duplicate
    version: int | None  # where the event stands in the log, if already known
    durability: str  # who had stored it when this was said, e.g. "kafka acks=all"


class Sink(Protocol):
    """Where acknowledged feedback goes."""

    def submit(self, event: Event) -> Receipt:
        """Store one prepared event; on return it is as durable as the receipt says. Safe to repeat.
        Raises `Unavailable`."""


class DirectSink:
    """Appends to the log itself: for use without Kafka, where the log's own durability has to do."""

    def __init__(self, log: Log, durability: str) -> None:
        self._log = log
        self._durability = durability

    def submit(self, event: Event) -> Receipt:
        """Append one event; its source (`rest:<client>`) keeps no positions, its id is what deduplicates.
        Raises `InvalidEvent` (EXPIRED) for one that is too old for that."""
        return self.receipt(event, self._log.append(self.item(event)))

    def item(self, event: Event) -> Append:
        """What to append."""
        return Append(encode(event), event.id, event.source, after=max(0, event.version))

    def receipt(self, event: Event, appended: Appended) -> Receipt:
        """What its sender is told. Raises `InvalidEvent` (EXPIRED)."""
        if appended.outcome is Outcome.EXPIRED:
            raise expired(event.id, event.version)
        return Receipt(appended.outcome, appended.version, self._durability)


def expired(event_id: str, version: int) -> InvalidEvent:
    """The error of an event that may have entered before the horizon of ids: nobody knows any more."""
    return InvalidEvent(
        f"event '{event_id}' answers a prediction of version {version}, which is older than the ids that are "
        "remembered (`ids_max` in [log]): nobody knows whether it was learned before",
        status=410,
        reason="EXPIRED",
    )


def prepare(event: Event, schema: Schema) -> Event:
    """The event, if it may enter the log. Raises `InvalidEvent` with the reason to tell its sender."""
    check_bounds(event)
    if event.retracts:
        return event  # teaches nothing, so it has no features
    _check_schema(event.x, schema)
    try:
        schema.check_label(event.y)
    except ValueError as error:
        raise InvalidEvent(str(error), status=422, reason="BAD_LABEL") from error
    return event


def check_row(x: Features, schema: Schema) -> None:
    """Raise `InvalidEvent` unless `x` may be predicted: the same checks that feedback will meet."""
    check_feature_bounds(x)
    _check_schema(x, schema)


def _check_schema(x: Features, schema: Schema) -> None:
    try:
        schema.check_features(x)
    except ValueError as error:
        raise InvalidEvent(str(error), status=422, reason="BAD_FEATURES") from error
