"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable

DEADLINE_S = 120.0  # generous: only a broken promise waits this long


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s:.0f} s in vain until {what}"
        time.sleep(0.02)
