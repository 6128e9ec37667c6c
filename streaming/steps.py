"""What a consumer does with one message, and the counts of what it has done."""

from collections import Counter
from dataclasses import dataclass

from confluent_kafka import Message

from odl.log import Append, Appended, Outcome
from streaming.dead_letters import DeadLetter


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """What one consumer has done since it was made. Answers are counted, so a repeated append (its first
    answer was lost) counts as a duplicate; the log's head says how many events there are."""

    accepted: int = 0  # events that entered the log
    duplicates: int = 0  # events that had entered before, by id or by position
    gaps: int = 0  # appends whose `prev` was not the stored position
    dead_letters: int = 0  # events that cannot be learned, passed over
    tombstones: int = 0  # messages without a value, passed over
    missing: int = 0  # offsets that retention removed before they were read
    truncations: int = 0  # partitions that ended before the stored position
    retries: int = 0  # times that the log or the dead-letter topic could not be reached
    pauses: int = 0  # times that reading was paused until they could


@dataclass(slots=True)
class Standing:
    """Where a consumer stands in one partition."""

    source: str  # key of the positions
    prev: str | None  # position that will be stored when the next append arrives
    following: int  # lowest offset that may come next; lower ones were handled


@dataclass(frozen=True, slots=True)
class Step:
    """One message on its way into the log."""

    partition: int
    append: Append
    message: Message
    letter: DeadLetter | None  # to be written before the position passes
    is_known: bool = False  # a label whose event has entered before
    original: bytes | None = None  # the message's value before it was made JSON


class Tally:
    """Counts, written by one thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, **counts: int) -> None:
        """Add to counts by their names in `ConsumerStats`."""
        self._counts.update(counts)

    def stats(self, **others: int) -> ConsumerStats:
        """All counts so far. Any thread."""
        return ConsumerStats(**self._counts, **others)

    def count(self, step: Step, answer: Appended) -> None:
        """Count what became of a step."""
        if answer.outcome is Outcome.EXPIRED:
            return  # counted when it is passed over
        is_new = answer.outcome is Outcome.ACCEPTED
        if answer.outcome is Outcome.GAP:
            self.add(gaps=1)
        elif step.letter is not None:
            self.add(dead_letters=is_new)
        elif step.is_known:
            self.add(duplicates=1)
        elif not step.append.payload:
            self.add(tombstones=is_new)
        else:
            self.add(**{"accepted" if is_new else "duplicates": 1})
