"""Labels without features among the messages of a batch: found, and joined in one go."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec
from confluent_kafka import Message

from odl.errors import InvalidEvent
from odl.event import Event
from streaming.join import Join, Joined, LateLabel, read_label
from streaming.message import decode_value, read_headers

Place: TypeAlias = tuple[int, int]  # partition and offset of a message


class LabelReader:
    """Reads the labels of one topic."""

    def __init__(self, join: Join) -> None:
        self._join = join

    def runs(self, messages: Iterable[Message]) -> Iterator[list[Message]]:
        """The messages in order, cut so that a correction comes in a later run than what it corrects: it
        is joined with what the log holds by then."""
        run: list[Message] = []
        has_others = False
        for message in messages:
            label = _label(message)
            changes = isinstance(label, LateLabel) and label.changes
            if changes and has_others:
                yield run
                run, has_others = [], False
            run.append(message)
            has_others = has_others or not changes
        if run:
            yield run

    def resolve(self, messages: Sequence[Message]) -> dict[Place, Joined]:
        """What the labels among `messages` mean; other messages are left out. Raises `Unavailable`."""
        read = {(message.partition(), message.offset()): _label(message) for message in messages}
        joined: dict[Place, Joined] = {
            place: label for place, label in read.items() if isinstance(label, InvalidEvent)
        }
        labels = {place: label for place, label in read.items() if isinstance(label, LateLabel)}
        if labels:
            joined |= zip(labels, self._join.resolve(list(labels.values())), strict=True)
        return joined


def event_of(message: Message, found: Event | InvalidEvent | None, source: str) -> Event:
    """The event that a message means: `found`, if it is a label, else the one in its value. Raises
    `InvalidEvent`."""
    seq = str(message.offset())
    if found is None:
        return decode_value(message.value() or b"", source=source, seq=seq, headers=read_headers(message))
    if isinstance(found, InvalidEvent):
        raise found
    return msgspec.structs.replace(found, source=source, seq=seq)


def _label(message: Message) -> LateLabel | InvalidEvent | None:
    value = message.value() if message.error() is None else None
    if value is None:
        return None
    try:
        return read_label(value)
    except InvalidEvent as error:
        return error
