"""The version lock: a lease with a fencing token for work that only one process may do at a time.

A holder may have been paused past its lease, so holding it is never enough: every write under the lock
shows its token and is refused (`Fenced`) when a newer one was issued.
"""

from dataclasses import dataclass
from typing import Protocol

from odl.errors import Fenced


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease."""

    owner: str  # who holds it, for people to read
    token: int  # fencing token: grows by one with every grant


class VersionLock(Protocol):
    """The lock. Every method is one atomic step."""

    def acquire(self, owner: str, ttl_ms: int) -> Lease | None:
        """Take the lock for `ttl_ms`; None while somebody else holds it."""

    def renew(self, lease: Lease, ttl_ms: int) -> None:
        """Extend the lease. Raises `Fenced` when it ended and a newer token was issued, or expired."""

    def release(self, lease: Lease) -> None:
        """Give the lock back; nothing happens if the lease has ended already."""

    def holder(self) -> Lease | None:
        """Who holds the lock now."""


def ended(lease: Lease) -> Fenced:
    """The error of a renewal that came too late."""
    return Fenced(f"the lease of '{lease.owner}' (token {lease.token}) has ended: acquire the lock again")


def refused(lease: Lease) -> Fenced:
    """The error of a write under a lease that is not the newest."""
    return Fenced(
        f"the write of '{lease.owner}' (token {lease.token}) was refused: a newer lease was granted"
    )


def check_ttl(ttl_ms: int) -> None:
    """Raise `ValueError` unless a lease can last that long."""
    if ttl_ms < 1:
        raise ValueError(f"expected a time to live of at least 1 ms, received {ttl_ms}")
