"""An event: one labelled example, and its canonical bytes, which are what the log stores and chains.

>>> event = Event(id="f-1", x={"origin": "JFK", "distance": 1400}, y="late", source="rest:demo")
>>> encode(event)
b'{"id":"f-1","source":"rest:demo","x":{"distance":1400,"origin":"JFK"},"y":"late"}'
>>> decode(encode(event)) == event
True
"""

import math
from typing import TypeAlias

import msgspec

from odl.errors import InvalidEvent

Value: TypeAlias = float | int | str | bool | None  # one feature as users send it
Features: TypeAlias = dict[str, Value]
Label: TypeAlias = str | int | float | bool
Prediction: TypeAlias = dict[str, float] | float  # class -> probability, or a number

ID_LENGTH_MAX = 200  # an id is kept in Redis for every event within the horizon
NAME_LENGTH_MAX = 200
STRING_LENGTH_MAX = 1_000  # categories are hashed; longer strings are documents, not features
FIELDS_MAX = 4_096
CORRECTIONS_MAX = 99  # of one event; whoever changes a label more often has another problem

_WEIGHT = 1.0
_FLOATS = {float}


class Event(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One labelled example, immutable. Defaults are left out of the canonical bytes. It holds nothing that
    could hold it in turn, so the garbage collector need not look at it."""

    id: str  # unique per sender, 1 to 200 characters
    x: Features  # feature name -> number, string, bool or None (missing)
    y: Label  # class name, or the number of a regression
    weight: float = _WEIGHT  # importance, > 0
    time_ms: int = 0  # when the label became known, Unix milliseconds; 0 if unknown
    source: str = ""  # `kafka:<cluster>:<topic id>:<partition>` or `rest:<client>`
    seq: str = ""  # position at the source (decimal), empty if it has none
    version: int = 0  # version of the prediction that was served for this event, 0 if unknown
    prediction: Prediction | None = None  # that prediction, if it was remembered: it is what is scored
    corrects: int = 0  # version of the event whose label this one corrects, 0: none
    retracts: int = 0  # version of the event whose label this entry withdraws; teaches nothing itself

    def __post_init__(self) -> None:
        # The encoder recognises a default by identity, and 1.0 may be any of many objects.
        if self.weight == _WEIGHT:
            msgspec.structs.force_setattr(self, "weight", _WEIGHT)


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Canonical bytes: JSON with sorted keys, no spaces, defaults omitted. Equal events, equal bytes."""
    return _encoder.encode(event)


def decode(payload: bytes) -> Event:
    """The event of canonical bytes. Raises `InvalidEvent` for anything else."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"a log payload is not an event: {error}", reason="MALFORMED") from error


def change_id(event_id: str, correction: int) -> str:
    """The id of the event that corrects another one for the n-th time, or with 0 retracts it: whoever sends
    it again sends a duplicate.

    >>> change_id("visit-1", 1), change_id("visit-1", 0)
    ('visit-1/c1', 'visit-1/r')
    """
    return f"{event_id}/c{correction}" if correction else f"{event_id}/r"


def check_bounds(event: Event) -> None:
    """Raise `InvalidEvent` unless id, names, strings, numbers and weight are within the named limits."""
    if not 1 <= len(event.id) <= ID_LENGTH_MAX:
        raise InvalidEvent(
            f"expected an event id of 1 to {ID_LENGTH_MAX} characters, received {len(event.id)}: "
            "send it as meta.puid (REST) or id (Kafka)",
            reason="NO_ID" if not event.id else "BAD_ID",
        )
    check_features(event.x)
    check_value("label", event.y)
    if not (math.isfinite(event.weight) and event.weight > 0):
        raise InvalidEvent(f"expected a finite weight above 0, received {event.weight}", reason="BAD_WEIGHT")
    if event.prediction is not None:
        _check_prediction(event.prediction)


def _check_prediction(prediction: Prediction) -> None:
    if isinstance(prediction, dict):
        is_good = all(0.0 <= share <= 1.0 for share in prediction.values())
    else:
        is_good = math.isfinite(prediction)
    if not is_good:
        raise InvalidEvent(
            "expected probabilities from 0 to 1, or a finite number, in prediction", reason="BAD_PREDICTION"
        )


def check_features(x: Features) -> None:
    """Raise `InvalidEvent` unless every name and value of `x` is within bounds and finite."""
    if len(x) > FIELDS_MAX:
        raise InvalidEvent(f"expected at most {FIELDS_MAX} features, received {len(x)}", reason="TOO_WIDE")
    # Most rows hold finite floats only, and a sum is not finite where one of its terms is not: this takes a
    # tenth of the time that looking at each value does.
    are_plain = set(map(type, x.values())) == _FLOATS and math.isfinite(sum(x.values()))  # type: ignore[arg-type]
    if are_plain and "" not in x and max(map(len, x)) <= NAME_LENGTH_MAX:
        return
    for name, value in x.items():
        if not 1 <= len(name) <= NAME_LENGTH_MAX:
            raise InvalidEvent(
                f"expected feature names of 1 to {NAME_LENGTH_MAX} characters, received one of {len(name)}",
                reason="BAD_NAME",
            )
        check_value(name, value)


def check_value(name: str, value: Value) -> None:
    """Raise `InvalidEvent` for a number that is not finite or a string that is too long."""
    if isinstance(value, str):
        if len(value) > STRING_LENGTH_MAX:
            raise InvalidEvent(
                f"expected at most {STRING_LENGTH_MAX} characters in '{name}', received {len(value)}",
                reason="TOO_LONG",
            )
    elif value is not None and not _is_finite(value):
        raise InvalidEvent(
            f"expected a finite number in '{name}', received {value}", reason="NOT_FINITE", status=422
        )


def _is_finite(value: float | int) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a double
        return False
