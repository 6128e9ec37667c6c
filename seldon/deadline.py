"""The moment by which a process that was told to leave has left, whoever does not answer.

>>> now = [100.0]
>>> deadline = Deadline(4.0, clock=lambda: now[0])
>>> deadline.start()
>>> now[0] += 3
>>> deadline.left_s()
1.0
"""

import time
from collections.abc import Callable

LEAVE_S = 2.3  # from SIGTERM; with the end of the interpreter about 2.5, where 5 are allowed
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

    @property
    def is_over(self) -> bool:
        """Whether it has been reached."""
        return self._at is not None and self._clock() >= self._at

    def left_s(self) -> float:
        """Seconds until it is reached, never quite none."""
        if self._at is None:
            return self._seconds
        return max(self._at - self._clock(), LEFT_S_MIN)
