"""Waiting for servers that are out of reach, for as long as needed, without losing anybody's place."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from odl.errors import LogMissing, Unavailable
from odl.log import Log

logger = logging.getLogger(__name__)

WAIT_S_MIN = 0.05
WAIT_S_MAX = 2.0  # back to work within seconds of an outage's end

TELL_EVERY_S = 30.0  # how often the same cause is told again

T = TypeVar("T")


class Stopped(Exception):
    """`stop` was called in the middle of something."""


class Patience:
    """Repeats what may be repeated until it succeeds, or until `stop`."""

    def __init__(self, log: Log) -> None:
        self.retries = 0  # calls that had to be repeated
        self._log = log
        self._stopping = threading.Event()
        self.wait: Callable[[float], None] | None = None  # what else to do while waiting, see streaming.hold

    def stop(self) -> None:
        """Make every wait, now and later, raise `Stopped`. May be called from any thread or signal."""
        self._stopping.set()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def until_done(self, what: str, call: Callable[[], T]) -> T:
        """The result of `call`, repeated with a growing wait while it raises `Unavailable`.

        A log that is gone is created anew: it then says itself (GAP) where its sources have to begin.
        Other errors pass. Raises `Stopped` once told to stop.
        """
        wait_s, told, told_at = WAIT_S_MIN, "", 0.0
        while True:
            try:
                return call()
            except Unavailable as error:
                # Once, and then from time to time: an outage is to be seen in a log, not to fill it.
                if str(error) != told or time.monotonic() - told_at > TELL_EVERY_S:
                    told, told_at = str(error), time.monotonic()
                    logger.warning("%s: %s; trying again until it works", what, error)
                is_missing = isinstance(error, LogMissing)
            self.retries += 1
            self.pause(wait_s)
            wait_s = min(2 * wait_s, WAIT_S_MAX)
            if is_missing:
                self._create_log()

    def _create_log(self) -> None:
        try:
            head = self._log.create()
        except Unavailable:
            return  # the next attempt says so
        logger.error(
            "the log was gone and was created anew (%s): Kafka is read from the beginning", head.log_id
        )

    def pause(self, seconds: float) -> None:
        """Wait; raises `Stopped` as soon as told to stop."""
        (self.wait or self.sleep)(seconds)

    def sleep(self, seconds: float) -> None:
        """Do nothing; raises `Stopped` as soon as told to stop."""
        if self._stopping.wait(seconds):
            raise Stopped
