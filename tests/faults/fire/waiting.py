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


def wait_for_count(count: Callable[[], int], goal: int, what: str) -> None:
    """Poll until `count` has reached `goal`: as long as it takes on a busy machine, while it grows."""
    highest, deadline = count(), time.monotonic() + DEADLINE_S
    while (now := count()) < goal:
        if now > highest:
            highest, deadline = now, time.monotonic() + DEADLINE_S
        assert time.monotonic() < deadline, f"{what}: {now} of {goal}, and no more for {DEADLINE_S:.0f} s"
        time.sleep(0.02)
