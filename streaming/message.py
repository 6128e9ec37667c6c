"""A Kafka message as an event: JSON in the value, one object.

| field | | meaning |
|---|---|---|
| `id` | required | unique per sender, 1 to 200 characters; the Kafka key is not the id |
| `x` | required | feature name → number, string, bool or null |
| `y` | required | the label: class name, or a number |
| `weight` | 1.0 | importance, above 0 |
| `time_ms` | 0 | when the label became known, Unix milliseconds |
| `version` | 0 | version of the prediction that was served for this event |

A label alone, `{"id": …, "truth": …}`, is joined with the prediction of that id (streaming.join).
Other fields, NaN and Infinity, numbers out of range and values above 1 MiB are refused.
A header `odl-source: rest:<client>` says for whom the event was produced, if not for Kafka itself.

>>> value = encode_value(Event(id="f-1", x={"origin": "JFK"}, y="late"))
>>> value
b'{"id":"f-1","x":{"origin":"JFK"},"y":"late"}'
>>> decode_value(value, source="kafka:c:t:0", seq="7").source
'kafka:c:t:0'
"""

import operator
from collections.abc import Sequence

import msgspec
from confluent_kafka import Message

from odl.errors import InvalidEvent
from odl.event import Event, encode

VALUE_BYTES_MAX = 1 << 20  # the bound of a REST body, too
SOURCE_HEADER = "odl-source"
SOURCE_LENGTH_MAX = 200

Headers = Sequence[tuple[str, bytes | None]]


_decoder = msgspec.json.Decoder(Event)


def encode_value(event: Event) -> bytes:
    """The JSON that `decode_value` reads; source and position are Kafka's to say."""
    return encode(msgspec.structs.replace(event, source="", seq=""))


def decode_value(value: bytes, *, source: str, seq: str, headers: Headers = ()) -> Event:
    """The event in a message's value. Raises `InvalidEvent` with one sentence for its sender."""
    if len(value) > VALUE_BYTES_MAX:
        raise too_large(len(value))
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise _misfit(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(
            f"expected a JSON object with id, x and y: {error} (NaN and Infinity are not JSON: "
            "send null for a missing number)",
            reason="MALFORMED",
        ) from error
    if event.source or event.seq:
        raise InvalidEvent(
            "expected no 'source' and no 'seq': where an event comes from is taken from Kafka",
            reason="BAD_FIELD",
        )
    client = _client(headers)
    if not client and (event.prediction is not None or event.corrects or event.retracts):
        raise InvalidEvent(
            "expected no 'prediction', and neither 'corrects' nor 'retracts' beside features: send id and "
            "truth alone, the rest is looked up",
            reason="BAD_FIELD",
        )
    return msgspec.structs.replace(event, source=client or source, seq="" if client else seq)


# For a name that is not UTF-8 the client's C code returns a value *and* leaves an exception set. A direct
# call would not notice, and the exception would surface anywhere later; a call through C checks at once.
_headers_of = operator.methodcaller("headers")


def read_headers(message: Message) -> Headers:
    """A message's headers; none if a name among them is not UTF-8 (Kafka allows it, the client does not)."""
    try:
        return _headers_of(message) or []
    except SystemError:
        message.set_headers([])  # a second call would find a list with a hole, and end the process
        return []


def too_large(size: int) -> InvalidEvent:
    """The error of a value of so many bytes."""
    return InvalidEvent(
        f"expected at most {VALUE_BYTES_MAX} bytes, received {size}", reason="TOO_LARGE", status=413
    )


def _misfit(error: msgspec.ValidationError) -> InvalidEvent:
    sentence = str(error)
    if "`id`" in sentence and "missing" in sentence:
        return InvalidEvent(
            "expected an event id in the field 'id', received none (the Kafka key is not the id)",
            reason="NO_ID",
        )
    if "out of range" in sentence:
        return InvalidEvent(f"expected finite numbers: {sentence}", reason="NOT_FINITE", status=422)
    return InvalidEvent(
        f"expected id, x and y (and weight, time_ms, version): {sentence}", reason="BAD_FIELD"
    )


def _client(headers: Headers) -> str:
    # Only `rest:` names: nobody may pose as another partition.
    for name, value in headers:
        if name == SOURCE_HEADER and value is not None and value.startswith(b"rest:"):
            return value[:SOURCE_LENGTH_MAX].decode("utf-8", "replace")
    return ""
