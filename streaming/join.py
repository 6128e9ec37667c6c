"""The delayed-label join: an id and its truth become a whole event, whichever way they came.

| field | | meaning |
|---|---|---|
| `id` | required | of the prediction (`meta.puid`), or of the event to correct |
| `truth` | required unless `retracts` | the label: class name, or a number |
| `corrects` | false | true: the truth replaces the label of the event `id`; a second correction says 2 |
| `retracts` | false | true: the label of the event `id` is withdrawn |
| `weight`, `time_ms` | 1.0, 0 | as of any event |

A label is joined with the prediction that was remembered: its features as they were, and what was answered,
which is what the event is scored by. A correction is joined with the event that it corrects, out of the log.
All of it enters the log, so a fold needs nothing else. The joined event keeps the id: a label that comes
twice is a duplicate, whatever crashed in between.

>>> read_label(b'{"id": "visit-1", "truth": "leaves"}').truth
'leaves'
>>> read_label(b'{"id": "visit-1", "x": {"truth": 1}, "y": "leaves"}') is None  # has its features itself
True
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from odl.errors import InvalidEvent
from odl.event import CORRECTIONS_MAX, Event, Label, change_id, decode
from odl.log import Log
from odl.remembered import PredictionStore, Recalled

Corrections: TypeAlias = Literal["refuse", "learn"]
_PUID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{19}")  # made by odl: begins with Unix milliseconds


class LateLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An id and what became of it, see the module's table."""

    id: str
    truth: Label | None = None
    corrects: bool | Annotated[int, msgspec.Meta(ge=1, le=CORRECTIONS_MAX)] = False
    retracts: bool = False
    weight: float = 1.0
    time_ms: int = 0

    @property
    def changes(self) -> bool:
        """Whether this is about a label that came before."""
        return self.retracts or bool(self.corrects)

    @property
    def event_id(self) -> str:
        """Under which it enters the log."""
        return change_id(self.id, int(self.corrects)) if self.changes else self.id


@dataclass(frozen=True, slots=True)
class Known:
    """The event has entered before, so there is nothing to enter."""

    version: int  # where it stands


Joined: TypeAlias = Event | Known | InvalidEvent


class _Probe(msgspec.Struct):
    x: msgspec.Raw | UnsetType = UNSET
    y: msgspec.Raw | UnsetType = UNSET
    truth: msgspec.Raw | UnsetType = UNSET
    retracts: msgspec.Raw | UnsetType = UNSET


_probe = msgspec.json.Decoder(_Probe)
_decoder = msgspec.json.Decoder(LateLabel)


def encode_label(label: LateLabel) -> bytes:
    """The JSON that `read_label` reads.

    >>> encode_label(LateLabel("visit-1", "leaves"))
    b'{"id":"visit-1","truth":"leaves"}'
    """
    return msgspec.json.encode(label)


def read_label(value: bytes) -> LateLabel | None:
    """The label in a message that brings no features; None if it is anything else, such as an event.
    Raises `InvalidEvent` with one sentence for its sender."""
    if b'"truth"' not in value and b'"retracts"' not in value:
        return None
    try:
        probe = _probe.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # the reader of events says what is wrong with it
    if probe.x is not UNSET or probe.y is not UNSET or probe.truth is probe.retracts is UNSET:
        return None
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise InvalidEvent(
            f"expected id and truth (and corrects, retracts, weight, time_ms): {error}", reason="BAD_FIELD"
        ) from error


class Join:
    """Makes events of labels. Any thread."""

    def __init__(
        self,
        log: Log,
        predictions: PredictionStore | None,
        corrections: Corrections = "refuse",
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`predictions`: None where the model file has no [remember]; labels alone are refused then."""
        self._log = log
        self._predictions = predictions
        self._corrections = corrections
        self._clock_ms = clock_ms

    def resolve(self, labels: Sequence[LateLabel]) -> list[Joined]:
        """What each label means: an event without source and position, or that it is known already, or why
        it cannot be learned. Two round trips, however many labels. Raises `Unavailable`."""
        plain = [label for label in labels if not label.changes]
        recalled: list[Recalled | None] = [None] * len(plain)
        if self._predictions is not None:
            recalled = self._predictions.recall([label.id for label in plain])
        found = iter(recalled)
        versions = self._log.find([label.id for label in labels])
        return [
            self._change(label, version) if label.changes else self._label(label, next(found), version)
            for label, version in zip(labels, versions, strict=True)
        ]

    def _label(self, label: LateLabel, found: Recalled | None, version: int | None) -> Joined:
        if label.truth is None:
            return InvalidEvent("expected the label in truth, received null", reason="NO_TRUTH")
        if found is None or found.is_late:
            return self._forgotten(label.id, found) if version is None else Known(version)
        record = found.record
        return Event(
            id=label.id,
            x=record.x,
            y=label.truth,
            weight=label.weight,
            time_ms=label.time_ms,
            version=record.version,
            prediction=record.prediction,
        )

    def _forgotten(self, event_id: str, found: Recalled | None) -> InvalidEvent:
        if self._predictions is None:
            return InvalidEvent(
                "expected the features beside the label, since this model does not remember predictions: "
                "send them, or add [remember] to the model file",
                reason="NO_FEATURES",
            )
        ttl_s = self._predictions.ttl_s
        age_s = (self._clock_ms() - int(event_id[:12], 16)) / 1000 if _PUID.fullmatch(event_id) else 0.0
        if found is not None or age_s > ttl_s:
            return InvalidEvent(
                f"the prediction '{event_id}' was remembered for {ttl_s:g} s (`ttl_s` in [remember]), its "
                "label came later: send the features beside it",
                status=410,
                reason="EXPIRED",
            )
        return InvalidEvent(
            f"no prediction '{event_id}' is remembered: none was served under this id in the last {ttl_s:g} "
            "s, or more than `max` in [remember] came after it: send the features beside the label",
            status=404,
            reason="UNKNOWN",
        )

    def _change(self, label: LateLabel, version: int | None) -> Joined:
        if self._corrections == "refuse":
            return InvalidEvent(
                f"the label of '{label.id}' was learned and stays: this model refuses corrections "
                '(corrections = "learn" in [feedback] allows them)',
                status=409,
                reason="CORRECTION_REFUSED",
            )
        if (label.truth is None) is not label.retracts or (label.retracts and label.corrects):
            return InvalidEvent(
                "expected a truth with corrects, none with retracts, and not both", reason="BAD_FIELD"
            )
        if version is None:
            return InvalidEvent(
                f"expected the id of an event that was learned, received '{label.id}': it is not in the log "
                "yet, or older than the ids that are remembered (`ids_max` in [log])",
                status=409,
                reason="NOTHING_TO_CORRECT",
                retry_after_s=1,
            )
        first = self._event_at(version)
        if first is None:
            return InvalidEvent(
                f"the event '{label.id}' at version {version} was trimmed from the log: send the right label "
                "with its features as a new event",
                status=410,
                reason="EXPIRED",
            )
        if label.truth is None:
            return Event(label.event_id, {}, first.y, time_ms=label.time_ms, retracts=version)
        return msgspec.structs.replace(
            first,
            id=label.event_id,
            y=label.truth,
            weight=label.weight,
            time_ms=label.time_ms,
            source="",
            seq="",
            corrects=version,
        )

    def _event_at(self, version: int) -> Event | None:
        for entry in self._log.read(version - 1, 1).entries:
            if entry.version == version:
                return decode(entry.payload)
        return None
