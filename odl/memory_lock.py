"""The version lock in memory: what defines the contract of `odl.lock`, for tests and one process."""

from collections.abc import Callable
from threading import RLock

from odl.clock import monotonic_ms
from odl.lock import Lease, check_ttl, ended, refused


class MemoryLock:
    """A `VersionLock` for the threads of one process."""

    def __init__(self, clock_ms: Callable[[], int] = monotonic_ms) -> None:
        self.mutex = RLock()  # a fenced write holds it from its check to its last change
        self._clock_ms = clock_ms
        self._last: Lease | None = None  # the newest grant, ended or not
        self._ends_ms: int | None = None  # None: released

    def acquire(self, owner: str, ttl_ms: int) -> Lease | None:
        check_ttl(ttl_ms)
        with self.mutex:
            if self.holder() is not None:
                return None
            self._last = Lease(owner, self._last.token + 1 if self._last else 1)
            self._ends_ms = self._clock_ms() + ttl_ms
            return self._last

    def renew(self, lease: Lease, ttl_ms: int) -> None:
        check_ttl(ttl_ms)
        with self.mutex:
            if self.holder() != lease:
                raise ended(lease)
            self._ends_ms = self._clock_ms() + ttl_ms

    def release(self, lease: Lease) -> None:
        with self.mutex:
            if self.holder() == lease:
                self._ends_ms = None

    def holder(self) -> Lease | None:
        with self.mutex:
            running = self._ends_ms is not None and self._clock_ms() < self._ends_ms
            return self._last if running else None

    def check(self, lease: Lease) -> None:
        """Raise `Fenced` unless `lease` is the newest grant."""
        with self.mutex:
            if self._last != lease:
                raise refused(lease)
