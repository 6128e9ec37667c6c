"""A row of named values as an event: which column is the label, which the id, which the time.

>>> columns = Columns(label="churned", id="customer", time="at")
>>> row = {"customer": "c-1", "at": "2026-01-31T12:00:00Z", "usage": 3.0, "churned": "leaves"}
>>> event = columns.content(row, default_id="abc/1", number_labels=False)
>>> event.id, event.x, event.y, event.time_ms
('c-1', {'usage': 3.0}, 'leaves', 1769860800000)
>>> columns.content({"customer": "c-1", "churned": "leaves"}, default_id="abc/1", number_labels=False)
LateLabel(id='c-1', truth='leaves', corrects=False, retracts=False, weight=1.0, time_ms=0)
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from odl.errors import InvalidEvent
from odl.event import Event, Label, Value
from streaming.backfill import Content
from streaming.join import LateLabel

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")
SECONDS_MAX = 100_000_000_000  # a number below is seconds (until the year 5138), above it milliseconds


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a row mean; the others are features."""

    label: str  # what is to be learned
    id: str = ""  # event id; empty: made of the content's hash and the row's number
    time: str = ""  # when the label became known: ISO 8601, or Unix seconds or milliseconds

    def content(self, row: Mapping[str, Any], *, default_id: str, number_labels: bool) -> Content:
        """The event of a row; a label alone if nothing is left for features; None without a label; an
        `InvalidEvent` for what cannot be one. `number_labels`: of a regression."""
        try:
            return self._content(row, default_id, number_labels)
        except InvalidEvent as error:
            return error

    def _content(self, row: Mapping[str, Any], default_id: str, number_labels: bool) -> Content:
        if self.label not in row:
            raise _bad(f"expected the label in '{self.label}', found {', '.join(row) or 'nothing'}")
        y = plain(self.label, row[self.label])
        if y is None:
            return None
        label = y if number_labels else class_name(y)
        event_id = default_id if not self.id else _id(self.id, row.get(self.id))
        time_ms = milliseconds(self.time, row.get(self.time)) if self.time else 0
        special = {self.label, self.id, self.time}
        x = {name: plain(name, value) for name, value in row.items() if name not in special}
        if not x and self.id:
            return LateLabel(event_id, label, time_ms=time_ms)
        return Event(id=event_id, x=x, y=label, time_ms=time_ms)


def class_name(y: Label) -> str:
    """Labels of classes are names: 1.0 in a file of numbers is the class "1"."""
    return str(int(y)) if isinstance(y, float) and y.is_integer() else str(y)


def plain(name: str, value: Any) -> Value:
    """One value as a feature: numbers, strings, bools and None as they are, times as Unix milliseconds.
    Raises `InvalidEvent` for lists and the like."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return milliseconds(name, value)
    raise _bad(f"expected a number, string, bool or nothing in '{name}', found {type(value).__name__}")


def milliseconds(name: str, value: Any) -> int:
    """A point in time as Unix milliseconds; without a zone it is UTC. Raises `InvalidEvent`."""
    if value is None:
        return 0
    try:
        if isinstance(value, str):
            value = float(value) if _NUMBER.fullmatch(value) else datetime.fromisoformat(value)
        if isinstance(value, date):
            if not isinstance(value, datetime):
                value = datetime(value.year, value.month, value.day)
            zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
            return int(round(zoned.timestamp() * 1000))
        number = float(value)
        return round(number * 1000 if abs(number) < SECONDS_MAX else number)
    except (ValueError, TypeError, OverflowError) as error:
        raise _bad(f"expected a time in '{name}' (ISO 8601 or Unix seconds), found {value!r:.80}") from error


def _id(name: str, value: Any) -> str:
    if value is None or value == "":
        raise _bad(f"expected an event id in '{name}', found none")
    return class_name(value) if isinstance(value, float) else str(value)


def _bad(sentence: str) -> InvalidEvent:
    return InvalidEvent(sentence, reason="BAD_ROW")
