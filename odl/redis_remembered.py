"""Remembered predictions in Redis: they travel with the next read of the log, so they cost no round trip.

Memory is bounded by count and by time: nine slots take records in turn, and the oldest is emptied as a whole
(`lua/remember.lua`). `records_max` records are surely kept for `ttl_s`, at most an eighth more are held.
"""

import logging
import time
from collections.abc import Sequence
from itertools import islice
from threading import Lock

import msgspec
import redis

from odl.config import Config
from odl.errors import HistoryLost
from odl.redis_keys import RedisKeys
from odl.redis_script import Argument, Call, RedisScript, transact
from odl.remembered import Recalled, Remembered

logger = logging.getLogger(__name__)

CALL_MAX = 250  # rows in one script, which holds up other clients for about a millisecond
OUTBOX_MAX = 100_000  # rows that wait while Redis is away; their feedback then needs the features again
# A row is stored when it arrives and once more, milliseconds later, when it is answered. Whoever looks in
# between waits for the answer; at this age its replica has died, and the features are what is left.
ANSWER_WAIT_S = 3.0
ANSWER_POLL_S = 0.02

_encoder = msgspec.json.Encoder()  # JSON: MessagePack has no integers beyond 64 bits, events do
_decoder = msgspec.json.Decoder(Remembered)


class RedisPredictions:
    """A `PredictionStore`. `put`, `pack` and `settle` belong to the thread that reads the log."""

    def __init__(self, client: redis.Redis, name: str, *, ttl_s: float, records_max: int) -> None:
        self.ttl_s = ttl_s
        self.has_news = False
        self._client = client
        self._meta, *self._slots = RedisKeys(name).remembered
        n_slots = len(self._slots)
        capacity = -(-records_max // (n_slots - 1))
        self._limits = (capacity, int(ttl_s * 1000) // (n_slots - 1) + 1, int(ttl_s * 1000))
        self._script = RedisScript(client, "remember")
        self._outbox: dict[str, bytes] = {}
        self._packed: list[list[tuple[str, bytes]]] = []
        self._mutex = Lock()  # `recall` looks into the outbox, too
        self._in_trouble = False

    def put(self, prediction_id: str, record: Remembered) -> None:
        with self._mutex:
            self._outbox[prediction_id] = _encoder.encode(record)
            if len(self._outbox) > OUTBOX_MAX:
                del self._outbox[next(iter(self._outbox))]
            self.has_news = True

    def pack(self) -> list[Call]:
        """The calls that store what was put, for one round trip; `settle` has to follow."""
        with self._mutex:
            # While Redis refuses, one call a read tells whether it still does.
            rows = list(islice(self._outbox.items(), CALL_MAX if self._in_trouble else None))
            self.has_news = False
        self._packed = [rows[at : at + CALL_MAX] for at in range(0, len(rows), CALL_MAX)]
        return [self._call(part) for part in self._packed]

    def _call(self, rows: list[tuple[str, bytes]]) -> Call:
        arguments: list[Argument] = [*self._limits]
        for prediction_id, record in rows:
            arguments += prediction_id, record
        return Call(self._script, (self._meta, *self._slots), arguments)

    def settle(self, answers: Sequence[object]) -> None:
        """What became of the calls of `pack`: what was not stored goes along with the next read."""
        failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if failed is not None and not self._in_trouble:
            logger.warning("predictions are not remembered at the moment: %s", failed)
        self._in_trouble = failed is not None
        with self._mutex:
            for rows, answer in zip(self._packed, answers, strict=True):
                for prediction_id, record in () if isinstance(answer, Exception) else rows:
                    if self._outbox.get(prediction_id) is record:  # else it was answered meanwhile
                        del self._outbox[prediction_id]

    def flush(self) -> None:
        while calls := self.pack():
            for call in calls:
                call.run()
            self.settle([None] * len(calls))

    def recall(self, prediction_ids: Sequence[str]) -> list[Recalled | None]:
        deadline = time.monotonic() + ANSWER_WAIT_S
        while True:
            found, are_young = self._look_up(prediction_ids) if prediction_ids else ([], [])
            if not any(are_young) or time.monotonic() >= deadline:
                return found
            time.sleep(ANSWER_POLL_S)

    def _look_up(self, prediction_ids: Sequence[str]) -> tuple[list[Recalled | None], list[bool]]:
        """What is known of each id, and whether its answer may be on its way."""
        with self._mutex:
            here = [self._outbox.get(each) for each in prediction_ids]
        meta = ("HGET", self._meta, "generation")
        each_slot = [("HMGET", slot, *prediction_ids) for slot in self._slots]
        newest, (seconds, microseconds), *slots = transact(self._client, meta, ("TIME",), *each_slot)
        n_slots, now_ms = len(self._slots), seconds * 1000 + microseconds // 1000
        newest_first = [slots[(int(newest or 0) - age) % n_slots] for age in range(n_slots)]
        found: list[Recalled | None] = []
        are_young = []
        for prediction_id, mine, rows in zip(
            prediction_ids, here, zip(*newest_first, strict=True), strict=True
        ):
            stored = next((row for row in rows if row is not None), None)
            if mine is not None:
                stored = b"%d %s" % (now_ms, mine)
            recalled, age_ms = (None, 0) if stored is None else _read(prediction_id, stored, now_ms)
            is_late = age_ms > self.ttl_s * 1000
            found.append(None if recalled is None else Recalled(recalled, is_late))
            is_open = recalled is not None and recalled.prediction is None
            are_young.append(is_open and age_ms < ANSWER_WAIT_S * 1000)
        return found, are_young


def _read(prediction_id: str, stored: bytes, now_ms: int) -> tuple[Remembered, int]:
    """A record and its age in milliseconds."""
    at_ms, _, record = stored.partition(b" ")
    try:
        return _decoder.decode(record), now_ms - int(at_ms)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HistoryLost(f"what was remembered of '{prediction_id}' cannot be read: {error}") from error


def predictions_of(config: Config, client: redis.Redis) -> RedisPredictions | None:
    """Where a model file has its predictions remembered; None if nowhere."""
    if config.remember is None:
        return None
    return RedisPredictions(client, config.name, ttl_s=config.remember.ttl_s, records_max=config.remember.max)
