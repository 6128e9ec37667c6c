"""What trimming a log asks for, and what it leaves."""

import hashlib
from typing import Any

import pytest

from odl.errors import Fenced, HistoryLost
from odl.lock import Lease
from odl.log import Append, Log, Outcome
from odl.snapshots import Snapshot

TTL_MS = 60_000
SIZE = 500


@pytest.fixture
def log(log_storage: Any) -> Log:
    log: Log = log_storage.log
    log.create()
    fill(log, SIZE)
    return log


@pytest.fixture
def lease(log_storage: Any) -> Lease:
    lease: Lease = log_storage.lock.acquire("test", TTL_MS)
    return lease


def fill(log: Log, count: int, tag: str = "") -> None:
    log.append_many([Append(f"{tag}{n:>100}".encode(), f"{tag}{n}", "rest:test") for n in range(count)])


def save(storage: Any, version: int, lease: Lease, **other: str) -> None:
    """A snapshot at that version of the log as it is now."""
    found = storage.log.read(version - 1, 1)
    here = {"chain": found.entries[-1].chain, "log_id": found.head.log_id}
    storage.snapshots.save(record_of(version, **(here | other)), b"x", lease)


def record_of(version: int, **other: str) -> Snapshot:
    """A snapshot of the byte x."""
    fields = {"fold_id": "fold", "digest": "d", "sha256": hashlib.sha256(b"x").hexdigest()}
    return Snapshot(version=version, size_bytes=1, created_ms=0, **(fields | other))


def trim_all(log: Log, up_to_version: int, lease: Lease) -> int:
    removed = 0
    while now := log.trim(up_to_version, "fold", lease):
        removed += now
    return removed


def test_entries_go_up_to_the_version_which_itself_stays(log_storage: Any, log: Log, lease: Lease) -> None:
    save(log_storage, 450, lease)
    save(log_storage, 480, lease)
    before = log.read(450, SIZE), log.counters()
    removed = trim_all(log, 450, lease)
    assert 300 < removed < 450, "whole blocks are removed, so a few may stay"
    assert (log.read(450, SIZE), log.counters()) == before
    first = log.read(0, SIZE).entries[0].version
    assert removed < first <= 450
    assert all(entry.version != 1 for entry in log.read(1, 5).entries), (
        "a reader at 1 sees that its own is gone"
    )


def test_appending_goes_on_after_a_trim(log_storage: Any, log: Log, lease: Lease) -> None:
    save(log_storage, SIZE, lease)
    save(log_storage, SIZE - 1, lease)
    trim_all(log, SIZE - 1, lease)
    assert log.append(Append(b"new", "new", "rest:test")).version == SIZE + 1
    assert log.append(Append(b"x", "0", "rest:test")).outcome is Outcome.DUPLICATE
    assert [entry.version for entry in log.read(SIZE, 10).entries] == [SIZE, SIZE + 1]


def test_one_snapshot_is_not_enough(log_storage: Any, log: Log, lease: Lease) -> None:
    save(log_storage, 480, lease)
    for _ in range(2):
        save(log_storage, 400, lease)
        with pytest.raises(ValueError, match="two visible snapshots"):
            log.trim(450, "fold", lease)
    save(log_storage, 480, lease)  # the same one again
    save(log_storage, 480, lease, digest="other")  # another one at that version
    with pytest.raises(ValueError, match="two visible snapshots"):
        log.trim(450, "fold", lease)
    assert log.trim(400, "fold", lease) > 0


@pytest.mark.parametrize("other", [{"log_id": "another"}, {"chain": "0" * 40}])
def test_snapshots_of_another_history_are_not_saved(
    log_storage: Any, log: Log, lease: Lease, other: dict[str, str]
) -> None:
    save(log_storage, 480, lease)
    with pytest.raises(HistoryLost, match="version 490: the log does not hold that version"):
        save(log_storage, 490, lease, **other)
    assert [snapshot.version for snapshot in log_storage.snapshots.list()] == [480]


def test_snapshots_of_before_the_trim_cannot_push_out_those_that_it_relied_on(
    log_storage: Any, log: Log, lease: Lease
) -> None:
    """A replica that lags is told to save itself again and again."""
    chain = log.read(49, 1).entries[-1].chain
    save(log_storage, 450, lease)
    save(log_storage, 480, lease)
    trim_all(log, 450, lease)
    for number in range(3):
        with pytest.raises(HistoryLost, match="save the newest version instead"):
            late = record_of(50, chain=chain, log_id=log.head().log_id, digest=str(number))
            log_storage.snapshots.save(late, b"x", lease)
    assert [snapshot.version for snapshot in log_storage.snapshots.list()] == [480, 450]


def test_snapshots_of_another_fold_do_not_count(log_storage: Any, log: Log, lease: Lease) -> None:
    save(log_storage, 480, lease)
    save(log_storage, 490, lease, fold_id="another")
    with pytest.raises(ValueError, match="two visible snapshots"):
        log.trim(450, "fold", lease)
    assert len(log.read(0, SIZE).entries) == SIZE


def test_snapshots_of_a_lost_branch_do_not_count(log_storage: Any, log: Log, lease: Lease) -> None:
    backup = log_storage.backup()
    fill(log, 20, "lost-")
    save(log_storage, SIZE + 10, lease)
    save(log_storage, SIZE + 20, lease)
    log_storage.restore(backup)
    fill(log, 30, "new-")
    with pytest.raises(ValueError, match="two visible snapshots"):
        log.trim(SIZE, "fold", lease)


def test_a_holder_that_was_paused_past_its_lease_cannot_trim(
    log_storage: Any, log: Log, lease: Lease
) -> None:
    save(log_storage, 480, lease)
    save(log_storage, 490, lease)
    log_storage.pass_time(TTL_MS)
    newer = log_storage.lock.acquire("another", TTL_MS)
    with pytest.raises(Fenced, match="newer lease"):
        log.trim(450, "fold", lease)
    assert log.trim(450, "fold", newer) > 0
