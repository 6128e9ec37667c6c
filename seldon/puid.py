"""Prediction ids: 32 hex digits that begin with the time, so ids sort by when they were made."""

import os
import time

from odl.errors import InvalidEvent
from odl.event import ID_LENGTH_MAX


def new_puid(now_ms: int | None = None) -> str:
    """A new id in the layout of UUID version 7: 48 bits of Unix milliseconds, then 74 random bits.

    >>> new_puid(1_700_000_000_000)[:13]
    '018bcfe568007'
    """
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = int.from_bytes(os.urandom(10)) & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62)
    return f"{milliseconds & 0xFFFFFFFFFFFF:012x}{random:020x}"


def check_puid(puid: str) -> None:
    """Raise `InvalidEvent` unless `puid` is empty or 1 to 200 printable characters."""
    if len(puid) > ID_LENGTH_MAX or not puid.isprintable():
        raise InvalidEvent(
            f"expected meta.puid of 1 to {ID_LENGTH_MAX} printable characters, received {len(puid)}",
            reason="BAD_ID",
        )
