"""A replica that breaks the first promise: it looks at the log only now and then."""

import time

from fire.row_threads import new_replica

from odl.log import Head, Log, Slice
from odl.replica import Replica

LOOKS_S = 0.005  # between two looks at the log; an operation takes less


class SeldomRead:
    """A log whose reads answer what an earlier one saw."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._head: Head | None = None
        self._looked_at = 0.0

    def read(self, version: int, count: int) -> Slice:
        head = self._head
        if head and head.version == version and time.monotonic() < self._looked_at + LOOKS_S:
            return Slice(head, [])
        self._looked_at = time.monotonic()
        part = self._log.read(version, count)
        self._head = part.head
        return part

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


def seldom_reading_replica(log: Log) -> Replica:
    """The product's replica on such a log."""
    return new_replica(SeldomRead(log))  # type: ignore[arg-type]
