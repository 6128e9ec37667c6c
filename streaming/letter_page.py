"""Dead letters for people: the newest of a topic, as JSON."""

from base64 import b64encode
from typing import Any

from streaming.connection import Options
from streaming.dead_letters import DeadLetter, read_dead_letters

PAGE = 100  # letters of one page
VALUE_BYTES_MAX = 4_096  # of each value; the topic has the whole


def letter_page(bootstrap: str, topic: str, options: Options | None = None) -> dict[str, Any]:
    """The newest letters of a topic, newest first. Raises `Unavailable`."""
    letters = list(read_dead_letters(bootstrap, topic, options, newest=PAGE))
    letters.sort(key=lambda letter: (letter.time_ms, letter.at), reverse=True)
    return {"topic": topic, "letters": [facts(letter) for letter in letters[:PAGE]]}


def facts(letter: DeadLetter) -> dict[str, Any]:
    """One letter as plain JSON types: the value as text, or `value_base64` where it is none."""
    head = letter.value[:VALUE_BYTES_MAX]
    size = len(letter.value) if letter.cut is None else letter.cut
    try:
        value = {"value": head.decode()}
    except UnicodeDecodeError:
        value = {"value_base64": b64encode(head).decode()}
    return {
        "partition": letter.partition,
        "offset": letter.at,
        "time_ms": letter.time_ms,
        "reason": letter.reason,
        "detail": letter.detail,
        "source": letter.source,
        "source_offset": letter.offset,
        "bytes": size,
        **value,
    }
