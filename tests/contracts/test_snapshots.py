"""What every snapshot store does."""

import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from odl.errors import DamagedSnapshot, Fenced
from odl.lock import Lease
from odl.snapshots import Snapshot

TTL_MS = 60_000
DATA = random.Random(1).randbytes(3_000_000)  # several pieces


def snapshot_of(version: int, data: bytes = DATA, fold_id: str = "fold", created_ms: int = 0) -> Snapshot:
    sha256 = hashlib.sha256(data).hexdigest()
    return Snapshot(version, "c" * 40, "log", fold_id, "digest", sha256, len(data), created_ms)


@pytest.fixture
def lease(storage: Any) -> Lease:
    lease: Lease = storage.lock.acquire("test", TTL_MS)
    return lease


def test_a_new_store_is_empty(storage: Any) -> None:
    assert storage.snapshots.list() == []


@pytest.mark.parametrize("data", [b"", b"x", DATA, DATA[: 1 << 20], DATA[: (1 << 20) + 1]])
def test_what_was_saved_is_loaded(storage: Any, lease: Lease, data: bytes) -> None:
    snapshot = snapshot_of(7, data)
    storage.snapshots.save(snapshot, data, lease)
    assert storage.snapshots.list() == [snapshot]
    assert storage.snapshots.load(snapshot) == data


def test_the_newest_version_comes_first_and_old_ones_go(storage: Any, lease: Lease) -> None:
    for version in (1, 2, 3, 4, 5):
        storage.snapshots.save(snapshot_of(version, b"%d" % version), b"%d" % version, lease)
    kept = storage.snapshots.list()
    assert [snapshot.version for snapshot in kept] == [5, 4, 3]
    assert [storage.snapshots.load(snapshot) for snapshot in kept] == [b"5", b"4", b"3"]
    with pytest.raises(DamagedSnapshot):
        storage.snapshots.load(snapshot_of(1, b"1"))


def test_after_a_rewind_the_latest_saves_are_kept_though_their_versions_are_lower(
    storage: Any, lease: Lease
) -> None:
    """Else the snapshots of a lost history would push out those of the one that lives."""
    for version in (100, 200, 300, 10, 20):
        storage.snapshots.save(snapshot_of(version, b"x"), b"x", lease)
    assert [snapshot.version for snapshot in storage.snapshots.list()] == [300, 20, 10]


def test_folds_do_not_push_each_other_out(storage: Any, lease: Lease) -> None:
    storage.snapshots.save(snapshot_of(1, b"x", "champion"), b"x", lease)
    for version in (2, 3, 4, 5):
        storage.snapshots.save(snapshot_of(version, b"x", "challenger"), b"x", lease)
    kept = [(snapshot.version, snapshot.fold_id) for snapshot in storage.snapshots.list()]
    assert kept == [(5, "challenger"), (4, "challenger"), (3, "challenger"), (1, "champion")]


def test_saving_the_same_snapshot_again_replaces_it(storage: Any, lease: Lease) -> None:
    for version in (1, 2, 2, 2):
        storage.snapshots.save(snapshot_of(version, b"x"), b"x", lease)
    assert [snapshot.version for snapshot in storage.snapshots.list()] == [2, 1]
    assert storage.snapshots.load(snapshot_of(2, b"x")) == b"x"


def test_bytes_that_do_not_fit_their_record_are_not_saved(storage: Any, lease: Lease) -> None:
    with pytest.raises(DamagedSnapshot, match="version 7"):
        storage.snapshots.save(snapshot_of(7, b"good"), b"evil", lease)
    assert storage.snapshots.list() == []


def test_a_holder_that_was_paused_past_its_lease_cannot_save(storage: Any, lease: Lease) -> None:
    storage.snapshots.save(snapshot_of(1, b"1"), b"1", lease)
    storage.pass_time(TTL_MS)
    newer = storage.lock.acquire("another", TTL_MS)
    with pytest.raises(Fenced, match="newer lease"):
        storage.snapshots.save(snapshot_of(9, b"stale"), b"stale", lease)
    storage.snapshots.save(snapshot_of(2, b"2"), b"2", newer)
    storage.lock.release(newer)
    with pytest.raises(Fenced):
        storage.snapshots.save(snapshot_of(9, b"stale"), b"stale", lease)
    assert [snapshot.version for snapshot in storage.snapshots.list()] == [2, 1]


def test_a_lease_that_ended_with_no_newer_one_may_still_finish(storage: Any, lease: Lease) -> None:
    storage.pass_time(TTL_MS)
    storage.snapshots.save(snapshot_of(1, b"1"), b"1", lease)
    assert [snapshot.version for snapshot in storage.snapshots.list()] == [1]


def test_the_same_token_of_another_owner_is_fenced(storage: Any, lease: Lease) -> None:
    """A server that lost its tail grants a token again."""
    with pytest.raises(Fenced):
        storage.snapshots.save(snapshot_of(1, b"1"), b"1", Lease("before the rewind", lease.token))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:1_500_000] + bytes([data[1_500_000] ^ 1]) + data[1_500_001:],
        lambda data: b"",
        lambda data: data[1 << 20 :] + data[: 1 << 20],
    ],
    ids=["cut", "longer", "one bit", "empty", "pieces swapped"],
)
def test_damage_is_found_on_load_and_the_others_stay(
    storage: Any, lease: Lease, change: Callable[[bytes], bytes]
) -> None:
    storage.snapshots.save(snapshot_of(1, b"older"), b"older", lease)
    storage.snapshots.save(snapshot_of(2), DATA, lease)
    storage.damage(snapshot_of(2), change)
    damaged, older = storage.snapshots.list()
    with pytest.raises(DamagedSnapshot, match="version 2"):
        storage.snapshots.load(damaged)
    assert storage.snapshots.load(older) == b"older"


def test_missing_bytes_are_found_on_load(storage: Any, lease: Lease) -> None:
    storage.snapshots.save(snapshot_of(2), DATA, lease)
    storage.lose(snapshot_of(2))
    with pytest.raises(DamagedSnapshot, match="found 0"):
        storage.snapshots.load(snapshot_of(2))


def test_two_snapshots_of_one_version_are_told_apart(storage: Any, lease: Lease) -> None:
    storage.snapshots.save(snapshot_of(2, b"a"), b"a", lease)
    storage.snapshots.save(snapshot_of(2, b"b"), b"b", lease)
    later, earlier = storage.snapshots.list()
    assert (storage.snapshots.load(later), storage.snapshots.load(earlier)) == (b"b", b"a")


def test_a_dropped_snapshot_is_gone_and_the_others_stay(storage: Any, lease: Lease) -> None:
    for version in (1, 2):
        storage.snapshots.save(snapshot_of(version, b"x"), b"x", lease)
    for _ in range(2):
        storage.snapshots.drop(snapshot_of(1, b"x"), lease)
        assert storage.snapshots.list() == [snapshot_of(2, b"x")]
    with pytest.raises(DamagedSnapshot):
        storage.snapshots.load(snapshot_of(1, b"x"))


def test_a_holder_that_was_paused_past_its_lease_cannot_drop(storage: Any, lease: Lease) -> None:
    storage.snapshots.save(snapshot_of(1, b"x"), b"x", lease)
    storage.pass_time(TTL_MS)
    storage.lock.acquire("another", TTL_MS)
    with pytest.raises(Fenced):
        storage.snapshots.drop(snapshot_of(1, b"x"), lease)
    assert len(storage.snapshots.list()) == 1
