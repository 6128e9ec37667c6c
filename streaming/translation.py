"""Messages of a batch, whatever format they are written in, as the JSON that is read from there on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import Message

from odl.errors import InvalidEvent
from streaming.formats import JsonValues, Values
from streaming.label_reader import Place
from streaming.message import SOURCE_HEADER, read_headers
from streaming.patience import Patience


@dataclass(slots=True)
class Translated:
    """What a batch was before."""

    originals: dict[Place, bytes] = field(default_factory=dict)  # values that were replaced
    faults: dict[Place, InvalidEvent] = field(default_factory=dict)  # values that cannot be read


def translate(messages: Iterable[Message], values: Values, topic: str, patience: Patience) -> Translated:
    """Replace the values by their JSON; waits while a schema registry is out of reach. What odl itself has
    produced is JSON, whatever the topic's other values are."""
    done, is_json = Translated(), isinstance(values, JsonValues)
    for message in messages:
        value = message.value() if message.error() is None else None
        if value is None or (value[:1] == b"{" and (is_json or _is_own(message))):
            continue
        place = message.partition(), message.offset()
        try:
            text = patience.until_done("schema registry", partial(values.to_json, value, topic))
        except InvalidEvent as error:
            done.faults[place] = error
            continue
        if text is not value:
            done.originals[place] = value
            message.set_value(text)
    return done


def _is_own(message: Message) -> bool:
    headers: Mapping[str, bytes | None] = dict(read_headers(message))
    return (headers.get(SOURCE_HEADER) or b"").startswith(b"rest:")
