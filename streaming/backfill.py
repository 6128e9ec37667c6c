"""Backfill: rows of a file or of a topic into the log, resumable, each exactly once.

Every row has a source and a position there, and the position enters the log in the same atomic step as its
event, as the consumer's does. So a backfill that was interrupted goes on where it was, one that is repeated
finds nothing to do, and two at once share the work. While the log is full it waits.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from odl.errors import InvalidEvent, LogMissing, Unavailable
from odl.event import Event, encode
from odl.feedback import expired, prepare
from odl.learner import Schema
from odl.log import Append, Appended, Log, Outcome
from streaming.join import Join, Joined, Known, LateLabel

BATCH = 500  # rows appended together; bounds what is repeated after a fault
WAIT_S_MIN, WAIT_S_MAX = 0.05, 2.0
REFUSALS_SHOWN = 5

T = TypeVar("T")
Content: TypeAlias = Event | LateLabel | InvalidEvent | None  # None: teaches nothing, such as no label


@dataclass(frozen=True, slots=True)
class Row:
    """One row on its way into the log."""

    source: str  # key of its position
    seq: str  # position there, ascending
    content: Content
    where: str  # for people: `row 17`


class Rows(Protocol):
    """Where rows come from."""

    def after(self, positions: Mapping[str, str]) -> Iterator[Row]:
        """The rows after the stored positions, in order within a source."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a backfill came to."""

    entered: int = 0  # events that entered the log
    duplicates: int = 0  # events that were in it before, by id
    empty: int = 0  # rows that teach nothing
    refused: tuple[str, ...] = ()  # what could not be learned, and why; the first few
    refusals: int = 0  # how many could not

    @property
    def rows(self) -> int:
        """Rows handled by this run."""
        return self.entered + self.duplicates + self.empty + self.refusals


@dataclass(frozen=True, slots=True)
class _Step:
    append: Append
    refusal: str = ""
    is_known: bool = False  # a label whose event has entered before


class Refused(InvalidEvent):
    """A row that cannot be learned, and nobody said to pass such rows over."""


class Backfill:
    """Takes rows into `log`."""

    def __init__(
        self,
        log: Log,
        schema: Schema,
        join: Join,
        *,
        skip_bad: bool = False,
        on_rows: Callable[[int], None] = lambda rows: None,
        on_wait: Callable[[str], None] = lambda why: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`skip_bad`: pass over what cannot be learned; `on_rows`: rows handled so far; `on_wait`: why none
        is at the moment, empty once some are."""
        self._log = log
        self._schema = schema
        self._join = join
        self._skip_bad = skip_bad
        self._on_rows = on_rows
        self._on_wait = on_wait
        self._sleep = sleep

    def check(self, rows: Rows) -> None:
        """Look at all rows before the first one enters. Raises `Refused` naming those that cannot be learned;
        whether labels alone can be joined shows only when their turn comes."""
        refused = []
        for row in rows.after({}):
            if not isinstance(row.content, LateLabel):
                refused += [refusal] if (refusal := self._step(row, row.content, None).refusal) else []
            if len(refused) >= REFUSALS_SHOWN:
                break
        if refused:
            raise Refused(
                f"{'; '.join(refused)}: nothing entered; correct that, or pass such rows over with --skip-bad"
            )

    def run(self, rows: Rows) -> Filled:
        """Take all rows; waits for as long as needed while the log is full or out of reach. Raises `Refused`
        at the first row that cannot be learned, unless told to pass those over: what came before it has
        entered, and the next run goes on with it."""
        done = Filled()
        while True:
            positions = self._until_done(self._log.positions)
            source = rows.after(positions)
            known = dict(positions)
            while batch := list(itertools.islice(source, BATCH)):
                steps = self._steps(batch, known)
                refused = next((step for step in steps if step.refusal), None)
                if refused and not self._skip_bad:
                    steps = steps[: steps.index(refused)]
                done, is_clear = self._append(steps, done)
                if not is_clear:
                    break  # somebody else moves the same positions: go on from where those are
                if refused and not self._skip_bad:
                    raise Refused(f"{refused.refusal}; correct it, or pass over such rows with --skip-bad")
            else:
                return done

    def _steps(self, rows: Sequence[Row], known: dict[str, str]) -> list[_Step]:
        labels = [row.content for row in rows if isinstance(row.content, LateLabel)]
        joined = iter(self._until_done(lambda: self._join.resolve(labels)) if labels else [])
        steps = []
        for row in rows:
            content = next(joined) if isinstance(row.content, LateLabel) else row.content
            steps.append(self._step(row, content, known.get(row.source)))
            known[row.source] = row.seq
        return steps

    def _step(self, row: Row, content: Joined | None, prev: str | None) -> _Step:
        passing = Append(b"", "", row.source, prev=prev, seq=row.seq)
        if content is None or isinstance(content, Known):
            return _Step(passing, is_known=content is not None)
        try:
            if isinstance(content, InvalidEvent):
                raise content
            placed = _placed(content, row)
            payload = encode(prepare(placed, self._schema))
        except InvalidEvent as error:
            return _Step(passing, f"{row.where}: {error}")
        return _Step(replace(passing, payload=payload, event_id=content.id, after=max(0, content.version)))

    def _append(self, steps: Sequence[_Step], done: Filled) -> tuple[Filled, bool]:
        """Append in order; what is done now, and whether the rows that follow may be appended after these."""
        left, wait_s = list(steps), WAIT_S_MIN
        while left:
            try:
                answers = self._log.append_many([step.append for step in left])
            except LogMissing:
                raise
            except Unavailable as error:
                self._on_wait(str(error))
                self._sleep(wait_s)
                # Some may have entered before the log was full or out of reach.
                positions = self._until_done(self._log.positions)
                stored = sum(_is_stored(step.append, positions) for step in left)
                done, left = _counted(done, left[:stored]), left[stored:]
                wait_s = WAIT_S_MIN if stored else min(2 * wait_s, WAIT_S_MAX)
                self._on_rows(done.rows)
                continue
            self._on_wait("")
            return self._count(left, answers, done)
        return done, True

    def _count(
        self, steps: Sequence[_Step], answers: Sequence[Appended], done: Filled
    ) -> tuple[Filled, bool]:
        if all(answer.outcome is Outcome.ACCEPTED for answer in answers):
            done = _counted(done, steps)
            self._on_rows(done.rows)
            return done, True
        for step, answer in zip(steps, answers, strict=True):
            if answer.outcome is Outcome.GAP:
                return done, False
            if answer.outcome is Outcome.EXPIRED:
                return self._expired(step, done), False
            is_new = answer.outcome is Outcome.ACCEPTED
            done = _counted(done, [step]) if is_new else replace(done, duplicates=done.duplicates + 1)
            self._on_rows(done.rows)
        return done, True

    def _expired(self, step: _Step, done: Filled) -> Filled:
        asked = step.append
        error = expired(asked.event_id, asked.after)
        if not self._skip_bad:
            raise Refused(f"{error}; pass over such rows with --skip-bad")
        passing = Append(b"", "", asked.source, prev=asked.prev, seq=asked.seq)
        self._until_done(lambda: self._log.append(passing))
        return _counted(done, [_Step(passing, str(error))])

    def _until_done(self, call: Callable[[], T]) -> T:
        wait_s = WAIT_S_MIN
        while True:
            try:
                result = call()
                self._on_wait("")
                return result
            except LogMissing:
                raise
            except Unavailable as error:
                self._on_wait(str(error))
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, WAIT_S_MAX)


def _placed(event: Event, row: Row) -> Event:
    """The event with where it came from, unless a message said for whom it was sent."""
    if event.source:
        return event
    return msgspec.structs.replace(event, source=row.source, seq=row.seq)


def _is_stored(asked: Append, positions: Mapping[str, str]) -> bool:
    stored = positions.get(asked.source)
    return stored is not None and asked.seq is not None and int(asked.seq) <= int(stored)


def _counted(done: Filled, steps: Sequence[_Step]) -> Filled:
    """What is done with these, which have been stored."""
    refusals = [step.refusal for step in steps if step.refusal]
    known = sum(step.is_known for step in steps)
    events = sum(bool(step.append.payload) for step in steps)
    return replace(
        done,
        entered=done.entered + events,
        duplicates=done.duplicates + known,
        empty=done.empty + len(steps) - events - known - len(refusals),
        refused=(*done.refused, *refusals)[:REFUSALS_SHOWN],
        refusals=done.refusals + len(refusals),
    )
