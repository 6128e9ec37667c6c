"""From a Kafka topic into the log: one event at a time, in order within a partition, exactly once.

The position of a partition lives in the log and moves in the same atomic step as its events, so a crash, a
rebalance or a second consumer of the same partition can neither lose nor double an event: the log answers
DUPLICATE or GAP, and the consumer seeks to where the log says. Offsets committed to Kafka are for people
who watch the lag; nothing reads them.

What is passed over, always by moving the position in its turn: dead letters, after Kafka has stored them in
the dead-letter topic, and tombstones (messages without a value), which mean nothing here.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from odl.errors import InvalidEvent, Misconfigured, Unavailable
from odl.event import encode
from odl.feedback import expired, prepare
from odl.learner import Schema
from odl.log import Append, Log, Outcome
from streaming.connection import Options, admin_client, as_odl_error, member_options, quiet_logger
from streaming.dead_letters import DeadLetters, letter_of
from streaming.formats import JsonValues, Values
from streaming.hold import Hold
from streaming.join import Join, Joined, Known
from streaming.label_reader import LabelReader, Place, event_of
from streaming.patience import WAIT_S_MIN, Patience, Stopped
from streaming.source import Positions, Start
from streaming.steps import ConsumerStats, Standing, Step, Tally
from streaming.translation import translate

logger = logging.getLogger(__name__)

BATCH_MAX = 500  # events appended together; bounds what is repeated after a fault
POLL_S = 0.2  # bounds how long `stop` takes while nothing arrives
LEAVE_POLL_S = 0.02  # what is to be told of the group waits already
IDENTITY_CHECK_S = 10.0  # how long a re-created topic may go unnoticed if no offset gives it away

_OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}


class FeedbackConsumer:
    """Reads `topic` as a member of `group` and appends to `log` what `schema` accepts.

    `run` blocks until `stop`; what it raises is not transient and should end the process.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        log: Log,
        schema: Schema,
        dead_letters: DeadLetters,
        *,
        join: Join | None = None,
        values: Values | None = None,
        batch_max: int = BATCH_MAX,
        identity_check_s: float = IDENTITY_CHECK_S,
        options: Options | None = None,
    ) -> None:
        self._name = topic
        self._log = log
        self._schema = schema
        self._dead_letters = dead_letters
        self._join = LabelReader(join or Join(log, None))
        self._batch_max = batch_max
        self._identity_check_s = identity_check_s
        self._positions = Positions(admin_client(bootstrap, options), topic, log)
        self._values = values or JsonValues()
        self._patience = Patience(log)
        self._hold = Hold(self._patience, self._seek_soon)
        self._settings = member_options(bootstrap, group, options)
        self._tally = Tally()
        self._places: dict[int, Standing] = {}  # partition -> place, of the partitions assigned now
        self._checked_at = 0.0  # when the topic's identity was last asked for

    def stats(self) -> ConsumerStats:
        """Counts so far. May be called from any thread."""
        return self._tally.stats(retries=self._patience.retries, pauses=self._hold.pauses)

    def stop(self) -> None:
        """Make `run` return soon, where nothing is lost. May be called from any thread or signal."""
        self._patience.stop()

    def run(self) -> None:
        """Consume until `stop`. Waits for as long as needed while the log or Kafka is out of reach.

        Raises `Misconfigured` for what waiting cannot cure, and whatever else nobody expected.
        """
        try:
            self._consumer = Consumer(self._settings, logger=quiet_logger())
        except KafkaException as error:
            raise Misconfigured(f"Kafka settings were refused: {error.args[0].str()}") from error
        try:
            self._patience.until_done("Kafka", self._positions.identify)
            self._consumer.subscribe(
                [self._name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._patience.is_stopped:
                self._turn()
        except Stopped:
            logger.debug("stopped while waiting")
        finally:
            self._leave()

    def _leave(self) -> None:
        # Give everything back first: `close` may wait for ever, with the interpreter's lock, if an assignment
        # that nobody has taken yet is revoked in it (github.com/confluentinc/librdkafka/issues/4884).
        self._consumer.unsubscribe()
        while self._consumer.poll(LEAVE_POLL_S) is not None or self._consumer.assignment():
            pass  # messages: whoever comes next reads them again
        self._consumer.close()

    # Reading

    def _turn(self) -> None:
        # Before anything is read: a message from before a seek must not meet the place after it.
        if time.monotonic() - self._checked_at > self._identity_check_s:
            self._check_identity()
        first = self._consumer.poll(POLL_S)
        if first is None:
            return
        # What has arrived by now, without waiting for more: a lone event is not held back.
        messages = [first, *self._consumer.consume(self._batch_max - 1, timeout=0)]
        with self._hold.of(self._consumer):
            self._take(messages)
        told, self._hold.errors = self._hold.errors, []
        for message in [*messages, *told]:
            if message.error() is not None:
                self._on_error(message)

    def _take(self, messages: Sequence[Message]) -> None:
        places = dict(self._places)
        translated = translate(messages, self._values, self._name, self._patience)
        for run in self._join.runs(messages):
            joined = self._patience.until_done("log", partial(self._join.resolve, run))
            joined |= translated.faults
            # Where a partition was repositioned or assigned anew meanwhile, what was read before is stale.
            fresh = [
                each for each in run if self._places.get(each.partition()) is places.get(each.partition())
            ]
            steps = [self._step(message, joined, translated.originals) for message in fresh]
            self._store([step for step in steps if step is not None])

    def _step(
        self, message: Message, joined: Mapping[Place, Joined], originals: Mapping[Place, bytes]
    ) -> Step | None:
        """What to append for a message; None if nothing, because it was handled before or is an error."""
        partition, offset = message.partition(), message.offset()
        place = self._places.get(partition)
        if message.error() is not None or place is None or offset < place.following:
            return None
        seq, value, letter = str(offset), message.value(), None
        payload, event_id, after = b"", "", 0
        found, original = joined.get((partition, offset)), originals.get((partition, offset))
        if value is not None and not isinstance(found, Known):
            try:
                event = event_of(message, found, place.source)
                payload, event_id = encode(prepare(event, self._schema)), event.id
                after = max(0, event.version)
            except InvalidEvent as error:
                letter = letter_of(message, place.source, error, original)
        append = Append(payload, event_id, place.source, prev=place.prev, seq=seq, after=after)
        place.prev, place.following = seq, offset + 1
        return Step(partition, append, message, letter, isinstance(found, Known), original)

    # Storing

    def _store(self, steps: Sequence[Step]) -> None:
        letters = [step.letter for step in steps if step.letter is not None]
        if letters:
            # What came before the first dead letter need not wait for the dead-letter topic.
            first = next(i for i, step in enumerate(steps) if step.letter is not None)
            self._append(steps[:first])
            self._patience.until_done("dead-letter topic", lambda: self._dead_letters.write(letters))
            steps = steps[first:]
        self._append(steps)

    def _append(self, steps: Sequence[Step]) -> None:
        if not steps:
            return
        items = [step.append for step in steps]
        answers = self._patience.until_done("log", lambda: self._log.append_many(items))
        ahead: set[int] = set()
        for step, answer in zip(steps, answers, strict=True):
            self._tally.count(step, answer)
            if answer.outcome is Outcome.EXPIRED:
                self._pass_over(step)
            if answer.outcome in (Outcome.GAP, Outcome.EXPIRED):
                ahead.add(step.partition)
        for partition in ahead & self._places.keys():
            self._reposition(partition)
        self._show_progress({step.partition for step in steps} - ahead)

    def _pass_over(self, step: Step) -> None:
        """Make a dead letter of an event that the log no longer can tell from one it has, then pass it."""
        asked = step.append
        error = expired(asked.event_id, asked.after)
        letter = letter_of(step.message, asked.source, error, step.original)
        self._patience.until_done("dead-letter topic", lambda: self._dead_letters.write([letter]))
        passing = [Append(b"", "", asked.source, prev=asked.prev, seq=asked.seq)]
        [answer] = self._patience.until_done("log", lambda: self._log.append_many(passing))
        self._tally.add(dead_letters=answer.outcome is Outcome.ACCEPTED)

    def _show_progress(self, partitions: set[int]) -> None:
        for partition in partitions:
            place = self._places.get(partition)
            if place is not None:
                self._consumer.store_offsets(offsets=[TopicPartition(self._name, partition, place.following)])

    # Positions

    def _check_identity(self) -> None:
        self._checked_at = time.monotonic()
        try:
            is_another = self._positions.identify()
        except Unavailable as error:
            logger.warning("%s", error)  # reading goes on, or fails by itself
            return
        if is_another:
            logger.error("topic '%s' was re-created: reading the new one from its beginning", self._name)
            for partition in list(self._places):
                self._reposition(partition)
            return
        self._check_history()

    def _check_history(self) -> None:
        """Go back where the log lost what was stored: on a quiet partition no append would tell."""
        positions = self._patience.until_done("positions", self._log.positions)
        for partition, place in list(self._places.items()):
            stored = positions.get(place.source)
            if stored != place.prev:
                logger.warning("%s: the log stands at %s, not at %s", place.source, stored, place.prev)
                self._reposition(partition)

    def _place(self, partition: int) -> Start:
        start = self._patience.until_done(
            "positions", lambda: self._positions.find(self._consumer, partition)
        )
        self._tally.add(missing=start.missing, truncations=start.truncated)
        self._places[partition] = Standing(start.source, start.stored, start.offset)
        logger.info("%s: reading from offset %d", start.source, start.offset)
        return start

    def _reposition(self, partition: int) -> None:
        start = self._place(partition)
        self._seek_soon(TopicPartition(self._name, partition, start.offset))

    def _seek_soon(self, target: TopicPartition) -> None:
        self._patience.until_done("seek", lambda: self._seek(target))

    def _seek(self, target: TopicPartition) -> None:
        try:
            self._consumer.seek(target)
        except KafkaException as error:  # the fetcher of a new assignment may not be ready yet
            raise as_odl_error("seek", error.args[0]) from error

    # What Kafka tells

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = [
                TopicPartition(self._name, assigned.partition, self._place(assigned.partition).offset)
                for assigned in partitions
            ]
        except Stopped:
            starts = partitions  # to be given back at once
        consumer.incremental_assign(starts)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for revoked in partitions:
            self._places.pop(revoked.partition, None)
        consumer.incremental_unassign(partitions)

    def _on_error(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        if error.code() in _OUT_OF_RANGE:
            if partition in self._places:
                self._reposition(partition)
            return
        cause = as_odl_error(f"topic '{self._name}'", error)
        if error.fatal() or isinstance(cause, Misconfigured):
            raise cause
        logger.warning("%s; going on", cause)
        self._patience.pause(WAIT_S_MIN)
