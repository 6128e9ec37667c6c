"""The moment by which a process that was told to leave has left, whoever does not answer.

>>> now = [100.0]
>>> deadline = Deadline(4.5, clock=lambda: now[0])
>>> deadline.start()
>>> now[0] += 3
>>> deadline.left_s()
1.5
"""

import time
from collections.abc import Callable

LEAVE_S = 4.5  # from SIGTERM; Kubernetes counts 30 by default, people who wait for a terminal count fewer
LEFT_S_MIN = 0.05  # what is closed last may look once whether it is done


class Deadline:
    """Runs from the first `start`; before that, nothing is due."""

    def __init__(self, seconds: float = LEAVE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._at: float | None = None

    def start(self) -> None:
        """Begin to count, unless that has begun."""
        if self._at is None:
            self._at = self._clock() + self._seconds

    def left_s(self) -> float:
        """Seconds until it is reached, never quite none."""
        if self._at is None:
            return self._seconds
        return max(self._at - self._clock(), LEFT_S_MIN)
