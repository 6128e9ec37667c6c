"""Dead letters once more, after what was wrong with them is right: each is learned at most once.

A letter that was learned has a position of its own in the log, `dead-letter:<cluster>:<topic id>:<partition>:
<offset>`, written in the same atomic step as its event, so a second retry is a duplicate however long after;
about 0.1 KB of Redis each. Its event says `dead-letter:<cluster>:<topic id>:<partition>` as its source. A
letter that cannot be learned yet leaves no trace and may be tried again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from odl.errors import InvalidEvent
from odl.event import Event, encode
from odl.feedback import expired, prepare
from odl.learner import Schema
from odl.log import Append, Log, Outcome
from streaming.dead_letters import DeadLetter
from streaming.formats import Values
from streaming.join import Join, Known, read_label
from streaming.message import decode_value
from streaming.source import Topic

FIRST = "0"  # the one position of a source that is one letter


@dataclass(slots=True)
class Retried:
    """What became of letters."""

    accepted: int = 0  # entered the log
    duplicates: int = 0  # were in it before: retried, or sent again and learned since
    refused: list[tuple[DeadLetter, InvalidEvent]] = field(default_factory=list)  # and why, still


class Retry:
    """Takes dead letters of one topic into `log`."""

    def __init__(self, log: Log, schema: Schema, join: Join, values: Values, topic: Topic) -> None:
        """`topic`: identity of the dead-letter topic; `values`: how the values of feedback are written."""
        self._log = log
        self._schema = schema
        self._join = join
        self._values = values
        self._topic = topic

    def run(self, letters: Iterable[DeadLetter]) -> Retried:
        """Retry each letter. Raises `Unavailable` in the middle; repeating is safe."""
        done = Retried()
        positions = self._log.positions()
        for letter in letters:
            source = self._source(letter)
            key = f"{source}:{letter.at}"
            if key in positions:
                done.duplicates += 1
                continue
            try:
                outcome = self._enter(letter, source, key)
            except InvalidEvent as error:
                done.refused.append((letter, error))
                continue
            done.accepted += outcome is Outcome.ACCEPTED
            done.duplicates += outcome is not Outcome.ACCEPTED
        return done

    def _source(self, letter: DeadLetter) -> str:
        return f"dead-letter:{self._topic.cluster_id}:{self._topic.topic_id}:{letter.partition}"

    def _enter(self, letter: DeadLetter, source: str, key: str) -> Outcome:
        event = self._event(letter)
        if event is None:
            return Outcome.DUPLICATE
        event = prepare(msgspec.structs.replace(event, source=source, seq=str(letter.at)), self._schema)
        after = max(0, event.version)
        answer = self._log.append(Append(encode(event), event.id, key, prev=None, seq=FIRST, after=after))
        if answer.outcome is Outcome.EXPIRED:
            raise expired(event.id, event.version)
        return answer.outcome

    def _event(self, letter: DeadLetter) -> Event | None:
        """The event in a letter; None if it is a label whose event has entered. Raises `InvalidEvent`."""
        if letter.cut is not None:
            raise InvalidEvent(
                f"only the first {len(letter.value)} of {letter.cut} bytes were kept: send it again from its "
                f"source ({letter.source}, offset {letter.offset})",
                reason="CUT",
            )
        text = self._values.to_json(letter.value, "")
        label = read_label(text)
        if label is None:
            return decode_value(text, source=letter.source, seq=str(letter.offset), headers=letter.headers)
        [found] = self._join.resolve([label])
        if isinstance(found, InvalidEvent):
            raise found
        return None if isinstance(found, Known) else found
