"""Control entries: fenced, only on the log that its author saw, and once."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from odl.errors import Fenced, HistoryLost, LogMissing, Superseded
from odl.lock import Lease
from odl.log import Append, Entry, Head, Log, next_chain
from odl.snapshots import Snapshot

TTL_MS = 60_000
PAYLOAD = b'{"control":{}}'


@pytest.fixture
def log(log_storage: Any) -> Log:
    log: Log = log_storage.log
    log.create()
    return log


@pytest.fixture
def lease(log_storage: Any) -> Lease:
    lease: Lease = log_storage.lock.acquire("operator", TTL_MS)
    return lease


def rest(log: Log, *ids: str) -> None:
    for event_id in ids:
        log.append(Append(event_id.encode(), event_id, "rest:test"))


def save(storage: Any, version: int, lease: Lease) -> None:
    """A snapshot at that version of the log."""
    found = storage.log.read(version - 1, 1)
    sha256 = hashlib.sha256(b"x").hexdigest()
    chain, log_id = found.entries[-1].chain, found.head.log_id
    storage.snapshots.save(Snapshot(version, chain, log_id, "fold", "d", sha256, 1, 0), b"x", lease)


def test_a_control_entry_stands_in_the_chain_like_any_other(log: Log, lease: Lease) -> None:
    rest(log, "a", "b")
    seen = log.head()
    assert log.append_control(PAYLOAD, "control:1", seen, lease) == 3
    chain = next_chain(seen.chain, PAYLOAD)
    assert log.read(2, 5).entries[1] == Entry(3, chain, PAYLOAD)
    assert (log.head().version, log.head().chain, log.counters().control) == (3, chain, 3)
    rest(log, "c")
    assert log.read(3, 5).entries[1].chain == next_chain(chain, b"c")


def test_the_first_entry_of_a_log_may_be_one(log: Log, lease: Lease) -> None:
    assert log.counters().control == 0
    assert log.append_control(PAYLOAD, "control:1", log.head(), lease) == 1


def test_events_may_come_between_looking_and_deciding(log: Log, lease: Lease) -> None:
    seen = log.head()
    rest(log, "a", "b")
    assert log.append_control(PAYLOAD, "control:1", seen, lease) == 3
    later = log.head()
    rest(log, "c")
    assert log.append_control(PAYLOAD, "control:2", later, lease) == 5


def test_a_repeated_call_finds_its_own_entry(log: Log, lease: Lease) -> None:
    """The reply of the first call was lost."""
    seen = log.head()
    assert log.append_control(PAYLOAD, "control:1", seen, lease) == 1
    rest(log, "a")
    assert log.append_control(PAYLOAD, "control:1", seen, lease) == 1
    assert log.head().version == 2


def test_of_two_that_saw_the_same_head_one_wins(log: Log, lease: Lease) -> None:
    rest(log, "a")
    seen = log.head()
    log.append_control(PAYLOAD, "control:1", seen, lease)
    with pytest.raises(Superseded, match="no longer as it was at version 1"):
        log.append_control(PAYLOAD, "control:2", seen, lease)
    assert (log.head().version, log.counters().control) == (2, 2)


def test_of_many_at_once_one_wins(log: Log, lease: Lease) -> None:
    seen = log.head()

    def decide(number: int) -> bool:
        try:
            log.append_control(PAYLOAD, f"control:{number}", seen, lease)
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(decide, range(32))) == 1
    assert log.head().version == 1


def test_a_holder_that_was_paused_past_its_lease_decides_nothing(
    log_storage: Any, log: Log, lease: Lease
) -> None:
    seen = log.head()
    log_storage.pass_time(TTL_MS)
    newer = log_storage.lock.acquire("another", TTL_MS)
    with pytest.raises(Fenced):
        log.append_control(PAYLOAD, "control:1", seen, lease)
    assert log.head().version == 0
    assert log.append_control(PAYLOAD, "control:2", seen, newer) == 1


def test_what_was_decided_on_a_lost_branch_is_refused(log_storage: Any, log: Log, lease: Lease) -> None:
    rest(log, "a")
    backup = log_storage.backup()
    rest(log, "b", "c")
    seen = log.head()
    log_storage.restore(backup)
    with pytest.raises(Superseded):
        log.append_control(PAYLOAD, "control:1", seen, lease)
    rest(log, "x", "y", "z")
    with pytest.raises(Superseded):
        log.append_control(PAYLOAD, "control:2", seen, lease)
    other = Head(seen.version, seen.chain, 1, "another log")
    with pytest.raises(Superseded):
        log.append_control(PAYLOAD, "control:3", other, lease)
    assert log.head().version == 4


def test_a_missing_log_says_so(log_storage: Any) -> None:
    lease = log_storage.lock.acquire("operator", TTL_MS)
    with pytest.raises(LogMissing):
        log_storage.log.append_control(PAYLOAD, "control:1", Head(0, "0" * 40, 1, "l"), lease)


def test_snapshots_from_before_the_newest_control_entry_do_not_allow_trimming(
    log_storage: Any, log: Log, lease: Lease
) -> None:
    """Whoever began at one of them would need what came before it, to follow the entry."""
    rest(log, *map(str, range(200)))
    for version in (150, 160):
        save(log_storage, version, lease)
    log.append_control(PAYLOAD, "control:1", log.head(), lease)
    with pytest.raises(ValueError, match="two visible snapshots"):
        log.trim(150, "fold", lease)
    rest(log, "more", "and more")
    for version in (201, 202):
        save(log_storage, version, lease)
    assert log.trim(201, "fold", lease) > 0


def test_snapshots_from_before_the_newest_control_entry_are_not_saved(
    log_storage: Any, log: Log, lease: Lease
) -> None:
    """They would push out those from which the entry can be followed."""
    rest(log, "a", "b", "c")
    save(log_storage, 2, lease)
    log.append_control(PAYLOAD, "control:1", log.head(), lease)
    with pytest.raises(HistoryLost, match="a control entry after it"):
        save(log_storage, 3, lease)
    rest(log, "d")
    save(log_storage, 4, lease)
    assert [snapshot.version for snapshot in log_storage.snapshots.list()] == [4, 2]
