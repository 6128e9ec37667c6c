"""Handing a log over to another fold: who refuses then, what is dropped, and when it cannot be."""

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl.adopt import adopt
from odl.errors import HistoryLost, OtherFold, Unavailable
from odl.follower import Follower
from odl.memory import MemoryLock, MemorySnapshots
from odl.snapshotter import capture, describe


def follower_of(log: FaultyLog, snapshots: MemorySnapshots, fold_id: str) -> Follower:
    return Follower(lambda: HashLearner(fold_id=fold_id), HashLearner.from_bytes, log, snapshots)


def fold_all(follower: Follower) -> Follower:
    while follower.step(100) is None or follower.fold.version < follower._log.head().version:
        pass
    return follower


def save(follower: Follower, snapshots: MemorySnapshots, lock: MemoryLock) -> None:
    lease = lock.acquire("test", 60_000)
    assert lease is not None
    captured = capture(follower)
    snapshots.save(describe(captured, HashLearner.from_bytes), captured.data, lease)
    lock.release(lease)


def test_the_new_fold_serves_the_old_one_refuses_and_its_snapshots_are_gone():
    log, snapshots, lock = new_log()
    append(log, "a", "b", "c")
    old = fold_all(follower_of(log, snapshots, "old"))
    save(old, snapshots, lock)
    new = follower_of(log, snapshots, "new")
    with pytest.raises(OtherFold, match="belongs to fold old, this replica computes new"):
        new.step(100)
    head = adopt(log, snapshots, lock, "new", HashLearner.from_bytes)
    assert (head.fold_id, head.version) == ("new", 3)
    assert snapshots.list() == []
    assert lock.holder() is None
    assert fold_all(new).fold.version == 3
    with pytest.raises(OtherFold, match="belongs to fold new, this replica computes old"):
        old.step(100)


def test_repeating_it_changes_nothing():
    log, snapshots, lock = new_log()
    append(log, "a")
    new = fold_all(follower_of(log, snapshots, "new"))
    save(new, snapshots, lock)
    head = adopt(log, snapshots, lock, "new", HashLearner.from_bytes)
    assert (head, len(snapshots.list())) == (log.head(), 1)


def test_a_log_without_its_beginning_is_only_handed_to_a_fold_that_has_a_good_snapshot():
    log, snapshots, lock = new_log()
    append(log, "a", "b", "c")
    old = fold_all(follower_of(log, snapshots, "old"))
    save(old, snapshots, lock)
    log.forget_before(3)
    before = log.head(), snapshots.list()
    with pytest.raises(HistoryLost, match="fold new cannot begin.*stays with fold old"):
        adopt(log, snapshots, lock, "new", HashLearner.from_bytes)
    assert (log.head(), snapshots.list()) == before
    challenger = Follower(lambda: HashLearner(fold_id="new"), HashLearner.from_bytes, log, None)
    challenger.fold.learner._version, challenger.fold.version = 3, 3
    challenger.fold.chain, challenger.log_id = log.head().chain, log.head().log_id
    save(challenger, snapshots, lock)
    assert adopt(log, snapshots, lock, "new", HashLearner.from_bytes).fold_id == "new"
    assert [snapshot.fold_id for snapshot in snapshots.list()] == ["new"]


def test_a_damaged_snapshot_is_no_beginning():
    log, snapshots, lock = new_log()
    append(log, "a")
    save(fold_all(follower_of(log, snapshots, "new")), snapshots, lock)
    [snapshot] = snapshots.list()
    snapshots._stored[snapshot] = b"damaged"
    lease = lock.acquire("test", 60_000)
    assert lease is not None
    log.adopt("old", lease)
    lock.release(lease)
    append(log, "b", "c")
    log.forget_before(2)
    with pytest.raises(HistoryLost):
        adopt(log, snapshots, lock, "new", HashLearner.from_bytes)


def test_somebody_else_holds_the_version_lock():
    log, snapshots, lock = new_log()
    lock.acquire("snapshot by a", 60_000)
    with pytest.raises(Unavailable, match="holds the version lock"):
        adopt(log, snapshots, lock, "new", HashLearner.from_bytes)
