"""What every version lock does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from odl.errors import Fenced
from odl.lock import Lease, VersionLock

TTL_MS = 60_000


@pytest.fixture
def lock(storage: Any) -> VersionLock:
    lock: VersionLock = storage.lock
    return lock


def test_one_holder_at_a_time(lock: VersionLock) -> None:
    lease = lock.acquire("a", TTL_MS)
    assert lease == Lease("a", 1)
    assert lock.acquire("b", TTL_MS) is None
    assert lock.acquire("a", TTL_MS) is None
    assert lock.holder() == lease


def test_nobody_holds_a_new_lock(lock: VersionLock) -> None:
    assert lock.holder() is None


def test_tokens_grow_with_every_grant(lock: VersionLock) -> None:
    for token in (1, 2, 3):
        lease = lock.acquire("a", TTL_MS)
        assert lease == Lease("a", token)
        lock.release(lease)
        assert lock.holder() is None


def test_a_lease_ends_by_itself(lock: VersionLock, storage: Any) -> None:
    lock.acquire("a", TTL_MS)
    storage.pass_time(TTL_MS - 10_000)
    assert lock.acquire("b", TTL_MS) is None
    storage.pass_time(10_000)
    assert lock.holder() is None
    assert lock.acquire("b", TTL_MS) == Lease("b", 2)


def test_renewing_extends_a_lease_from_now(lock: VersionLock, storage: Any) -> None:
    lease = lock.acquire("a", TTL_MS)
    assert lease is not None
    storage.pass_time(TTL_MS - 10_000)
    lock.renew(lease, TTL_MS)
    storage.pass_time(TTL_MS - 10_000)
    assert lock.holder() == lease


def test_a_lease_that_has_ended_cannot_be_renewed(lock: VersionLock, storage: Any) -> None:
    lease = lock.acquire("a", TTL_MS)
    assert lease is not None
    storage.pass_time(TTL_MS)
    with pytest.raises(Fenced, match="acquire the lock again"):
        lock.renew(lease, TTL_MS)
    newer = lock.acquire("b", TTL_MS)
    with pytest.raises(Fenced):
        lock.renew(lease, TTL_MS)
    assert lock.holder() == newer


def test_a_late_release_does_not_end_the_lease_of_another(lock: VersionLock, storage: Any) -> None:
    lease = lock.acquire("a", TTL_MS)
    assert lease is not None
    storage.pass_time(TTL_MS)
    newer = lock.acquire("a", TTL_MS)
    lock.release(lease)
    assert lock.holder() == newer


def test_releasing_twice_is_harmless(lock: VersionLock) -> None:
    lease = lock.acquire("a", TTL_MS)
    assert lease is not None
    lock.release(lease)
    lock.release(lease)
    assert lock.holder() is None


def test_an_owner_may_have_any_name(lock: VersionLock) -> None:
    owner = "pod 7 ü\n1 2"
    lease = lock.acquire(owner, TTL_MS)
    assert lock.holder() == lease == Lease(owner, 1)


@pytest.mark.parametrize("ttl_ms", [0, -1])
def test_a_lease_without_time_is_refused(lock: VersionLock, ttl_ms: int) -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        lock.acquire("a", ttl_ms)
    lease = lock.acquire("a", TTL_MS)
    assert lease == Lease("a", 1)
    with pytest.raises(ValueError, match="at least 1 ms"):
        lock.renew(lease, ttl_ms)


def test_of_many_that_race_one_wins(lock: VersionLock) -> None:
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda n: lock.acquire(str(n), TTL_MS), range(32)))
    assert len([lease for lease in leases if lease is not None]) == 1
