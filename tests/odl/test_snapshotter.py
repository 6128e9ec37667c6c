"""Snapshots of a running replica: who saves, what is saved, and what does not become visible."""

from typing import Any

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl.errors import DamagedSnapshot, Fenced, Unavailable
from odl.fold import Fold
from odl.memory import MemoryLock, MemorySnapshots
from odl.replica import Replica, ReplicaSettings
from odl.snapshotter import Captured, Snapshotter, describe, save_now

WAIT_S = 30.0


def replica_on(log: FaultyLog, snapshots: MemorySnapshots, every: int = 10) -> Replica:
    settings = ReplicaSettings(snapshot_every=every)
    return Replica(HashLearner, HashLearner.from_bytes, log, snapshots, settings=settings)


def snapshotter_of(replica: Replica, snapshots: MemorySnapshots, lock: MemoryLock) -> Snapshotter:
    return Snapshotter(replica, snapshots, lock, HashLearner.from_bytes)


def ids(first: int, last: int) -> list[str]:
    return [f"f-{number}" for number in range(first, last + 1)]


def catch_up(*replicas: Replica) -> None:
    for replica in replicas:
        replica.predict([]).result(WAIT_S)


def test_a_snapshot_is_taken_every_so_many_versions_by_one_replica():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as first, replica_on(log, snapshots) as second:
        one, two = snapshotter_of(first, snapshots, lock), snapshotter_of(second, snapshots, lock)
        append(log, *ids(1, 9))
        catch_up(first, second)
        assert one.look() is None and two.look() is None
        append(log, "f-10")
        catch_up(first, second)
        saved = one.look()
        assert saved is not None and two.look() is None
        status = second.status()
    assert snapshots.list() == [saved]
    assert (saved.version, saved.chain, saved.digest) == (10, status.chain, status.digest)
    fold = Fold.from_bytes(snapshots.load(saved), HashLearner.from_bytes)
    assert (fold.version, fold.chain, fold.learner.digest()) == (10, saved.chain, saved.digest)


def test_the_others_skip_while_somebody_holds_the_lock():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as replica:
        append(log, *ids(1, 10))
        catch_up(replica)
        lease = lock.acquire("somebody else", 60_000)
        assert lease is not None
        assert snapshotter_of(replica, snapshots, lock).look() is None
        lock.release(lease)
        assert snapshotter_of(replica, snapshots, lock).look() is not None
        assert lock.holder() is None


def test_stop_saves_what_was_learned_since_and_a_restart_continues_from_it():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as replica:
        snapshotter = snapshotter_of(replica, snapshots, lock)
        snapshotter.start()
        append(log, *ids(1, 3))
        catch_up(replica)
        snapshotter.stop(WAIT_S)
        before = replica.status()
    assert [snapshot.version for snapshot in snapshots.list()] == [3]
    log.reads.clear()
    with replica_on(log, snapshots) as again:
        catch_up(again)
        after = again.status()
    assert min(log.reads) == 3
    assert (after.version, after.chain, after.digest) == (before.version, before.chain, before.digest)
    assert (after.events, after.log_loss) == (before.events, before.log_loss)


def test_stop_saves_nothing_new_when_nothing_is_new():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as replica:
        snapshotter = snapshotter_of(replica, snapshots, lock)
        snapshotter.stop()
        append(log, "a")
        catch_up(replica)
        assert save_now(replica, snapshots, lock, HashLearner.from_bytes) is not None
        snapshotter_of(replica, snapshots, lock).stop()
    assert len(snapshots.list()) == 1


def test_a_holder_that_was_paused_past_its_lease_makes_nothing_visible():
    now = [0]
    lock = MemoryLock(lambda: now[0])

    class Slow(MemorySnapshots):
        def save(self, *arguments: Any) -> None:
            now[0] += 60_000
            assert lock.acquire("the next one", 60_000) is not None
            super().save(*arguments)

    snapshots = Slow(lock)
    log = FaultyLog(snapshots)
    log.create()
    append(log, "a")
    with replica_on(log, snapshots) as replica:
        catch_up(replica)
        with pytest.raises(Fenced):
            save_now(replica, snapshots, lock, HashLearner.from_bytes)
    assert snapshots.list() == []


def test_after_a_rewind_snapshots_of_the_lost_branch_do_not_count():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as replica:
        snapshotter = snapshotter_of(replica, snapshots, lock)
        backup = log.backup()
        append(log, *ids(1, 10))
        catch_up(replica)
        assert snapshotter.look() is not None
        log.restore(backup)
        append(log, *ids(101, 112))
        catch_up(replica)
        saved = snapshotter.look()
    assert saved is not None and saved.version == 12


def test_bytes_that_do_not_load_are_not_saved():
    with pytest.raises(DamagedSnapshot, match="version 3 do not load"):
        describe(Captured(3, "c", "log", "hash-1", b"junk"), HashLearner.from_bytes)
    data = Fold(HashLearner()).to_bytes()
    with pytest.raises(DamagedSnapshot, match="expected the fold of version 3, loaded 0"):
        describe(Captured(3, "c", "log", "hash-1", data), HashLearner.from_bytes)


def test_a_snapshot_that_fails_is_logged_and_serving_goes_on(caplog: pytest.LogCaptureFixture):
    log, snapshots, lock = new_log()

    class Away(MemoryLock):
        def acquire(self, owner: str, ttl_ms: int) -> Any:
            raise Unavailable("no Redis")

    with replica_on(log, snapshots) as replica:
        append(log, "a")
        catch_up(replica)
        snapshotter_of(replica, snapshots, Away()).stop()
        catch_up(replica)
    assert "no snapshot: no Redis" in caplog.text
