"""Prediction ids: 32 hex digits that begin with the time, so ids sort by when they were made."""

import os
import time
from collections import deque

from odl.errors import InvalidEvent
from odl.event import ID_LENGTH_MAX

RANDOM_BYTES = 10  # of one id
DRAWN = 256  # ids whose random bytes are drawn at once: a system call for each would let other threads in

_drawn: deque[bytes] = deque()
os.register_at_fork(after_in_child=_drawn.clear)  # two processes never use the same ones


def new_puid(now_ms: int | None = None) -> str:
    """A new id in the layout of UUID version 7: 48 bits of Unix milliseconds, then 74 random bits.

    >>> new_puid(1_700_000_000_000)[:13]
    '018bcfe568007'
    """
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = int.from_bytes(_random_bytes()) & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62)
    return f"{milliseconds & 0xFFFFFFFFFFFF:012x}{random:020x}"


def _random_bytes() -> bytes:
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            fresh = os.urandom(RANDOM_BYTES * DRAWN)
            _drawn.extend(fresh[at : at + RANDOM_BYTES] for at in range(0, len(fresh), RANDOM_BYTES))


def check_puid(puid: str) -> None:
    """Raise `InvalidEvent` unless `puid` is empty or 1 to 200 printable characters."""
    if len(puid) > ID_LENGTH_MAX or not puid.isprintable():
        raise InvalidEvent(
            f"expected meta.puid of 1 to {ID_LENGTH_MAX} printable characters, received {len(puid)}",
            reason="BAD_ID",
        )
