"""What goes with snapshots: confirming those of others, trimming, and how far the log may grow."""

from collections.abc import Callable
from typing import Any

import pytest
from faulty_log import append, new_log
from hash_learner import HashLearner

from odl.errors import DamagedSnapshot, LogFull
from odl.memory import MemorySnapshots
from odl.pressure import UNSAVED_SNAPSHOTS_MAX, limit_of
from odl.replica import Replica, ReplicaSettings
from odl.replicas import MemoryReplicas, ReplicaRecord
from odl.retention import first_to_keep, is_confirmed, verify
from odl.snapshots import Snapshot
from odl.snapshotter import Snapshotter

WAIT_S = 60.0
EVERY = 10


class Pod:
    """A replica with its snapshotter and its heartbeat, one step at a time."""

    def __init__(self, fleet: "Fleet", name: str) -> None:
        settings = ReplicaSettings(snapshot_every=EVERY, lag_max=50)
        self._replicas = fleet.replicas
        self.replica = Replica(
            HashLearner,
            HashLearner.from_bytes,
            fleet.log,
            fleet.snapshots,
            settings=settings,
            replica_id=name,
        )
        self.snapshotter = Snapshotter(
            self.replica,
            fleet.snapshots,
            fleet.lock,
            HashLearner.from_bytes,
            fleet.log,
            fleet.replicas,
            fleet.retain,
            fleet.archived,
        )
        self.replica.start()

    def beat(self) -> None:
        status = self.replica.status()
        self._replicas.beat(
            ReplicaRecord(
                id=status.replica_id,
                version=status.version,
                epoch=status.epoch,
                chain=status.chain,
                digest=status.digest,
                fold_id=status.fold_id,
                url="",
                time_ms=0,
                confirmed=self.replica.confirmed,
                joined=self.replica.has_joined,
            ),
            ttl_ms=5_000,
        )

    def catch_up(self) -> int:
        return self.replica.predict([]).result(WAIT_S).version

    def look(self) -> None:
        """What its thread does once a second, and a heartbeat."""
        self.catch_up()
        self.snapshotter.look()
        self.snapshotter.tend()
        self.beat()


class Fleet:
    """A log and those who serve it."""

    def __init__(self, retain: int | None = None, archived: Callable[[], int] | None = None) -> None:
        self.log, self.snapshots, self.lock = new_log()
        self.retain = retain
        self.archived = archived
        self.now_ms = 0
        self.replicas = MemoryReplicas(lambda: self.now_ms)
        self.pods: list[Pod] = []
        self._sent = 0

    def pod(self, name: str) -> Pod:
        self.pods.append(Pod(self, name))
        return self.pods[-1]

    def append(self, count: int) -> None:
        append(self.log, *(f"f-{self._sent + number}" for number in range(count)))
        self._sent += count

    def first(self) -> int:
        """The first version that the log still holds."""
        return self.log.read(0, 1).entries[0].version

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: Any) -> None:
        for pod in self.pods:
            pod.replica.stop()


def test_a_lone_replica_trims_up_to_the_oldest_of_three_snapshots():
    with Fleet(retain=1) as fleet:
        pod = fleet.pod("a")
        for _ in range(2):
            fleet.append(EVERY)
            pod.look()
            assert fleet.first() == 1, "two snapshots are not enough to trim"
        fleet.append(EVERY)
        pod.look()
        assert fleet.first() == 10
        assert [snapshot.version for snapshot in fleet.snapshots.list()] == [30, 20, 10]


def test_what_retain_asks_for_stays():
    with Fleet(retain=25) as fleet:
        pod = fleet.pod("a")
        for _ in range(4):
            fleet.append(EVERY)
            pod.look()
        assert fleet.first() == 15


def test_what_is_not_archived_stays_until_it_is():
    archived = 0
    with Fleet(retain=1, archived=lambda: archived) as fleet:
        pod = fleet.pod("a")
        for _ in range(4):
            fleet.append(EVERY)
            pod.look()
        assert fleet.first() == 1
        archived = 17
        pod.look()
        assert fleet.first() == 17
        archived = 40
        fleet.append(EVERY)
        pod.look()
        assert fleet.first() == 30


def test_without_retain_nothing_is_ever_trimmed():
    with Fleet() as fleet:
        pod = fleet.pod("a")
        for _ in range(6):
            fleet.append(EVERY)
            pod.look()
        assert fleet.first() == 1


def test_a_second_replica_has_to_load_the_newest_snapshot_before_anything_goes():
    with Fleet(retain=1) as fleet:
        pod, other = fleet.pod("a"), fleet.pod("b")
        other.catch_up()
        other.beat()
        for _ in range(4):
            fleet.append(EVERY)
            pod.look()
            other.catch_up()
        assert fleet.first() == 1, "the other one is alive and has confirmed nothing"
        other.look()
        pod.look()
        assert fleet.first() == 20
        for _ in range(2):
            fleet.append(EVERY)
            pod.look()
        assert fleet.first() == 20, "a newer snapshot is not confirmed yet"
        fleet.now_ms += 10_000
        pod.look()
        assert fleet.first() == 40, "the other one is no longer alive"


def test_a_replica_that_was_stopped_past_a_trim_rejoins_by_a_snapshot():
    with Fleet(retain=1) as fleet:
        sleeper = fleet.pod("sleeper")
        fleet.append(5)
        assert sleeper.catch_up() == 5
        sleeper.replica.stop()
        pod = fleet.pod("a")
        for _ in range(4):
            fleet.append(EVERY)
            pod.look()
        assert fleet.first() > 6
        sleeper.replica._stopping = False
        sleeper.replica.start()
        assert sleeper.catch_up() == 45
        assert sleeper.replica.status().digest == pod.replica.status().digest
        assert sleeper.replica.status().resets == 0, "nothing of what it had learned was lost"


def test_a_damaged_snapshot_is_not_confirmed():
    with Fleet(retain=1) as fleet:
        pod, other = fleet.pod("a"), fleet.pod("b")
        fleet.append(EVERY)
        pod.look()
        [snapshot] = fleet.snapshots.list()
        fleet.snapshots._stored[snapshot] = b"damaged"
        other.catch_up()
        with pytest.raises(DamagedSnapshot):
            other.snapshotter.tend()
        assert other.replica.confirmed == ""
        with pytest.raises(DamagedSnapshot):
            verify(snapshot, fleet.snapshots, HashLearner.from_bytes)


def test_writers_wait_for_a_replica_that_cannot_keep_up():
    with Fleet() as fleet:
        pod, slow = fleet.pod("a"), fleet.pod("slow")
        fleet.append(EVERY)
        slow.look()
        slow.replica.stop()  # it still counts as alive: its heartbeat has not run out
        with pytest.raises(
            LogFull, match="after version 60 .*: replica slow is at version 10 and cannot keep up"
        ):
            for _ in range(10):
                fleet.append(EVERY)
                pod.look()
        assert pod.catch_up() == 60
        fleet.now_ms += 10_000
        pod.look()
        append(fleet.log, "later")
        assert pod.catch_up() == 61


def test_a_replica_that_starts_holds_up_nobody():
    with Fleet() as fleet:
        pod = fleet.pod("a")
        for _ in range(10):
            fleet.append(EVERY)
            pod.look()
        new = record("new", version=0, joined=False)
        fleet.replicas.beat(new, 5_000)
        fleet.append(EVERY)
        pod.look()
        fleet.append(EVERY)
        assert pod.catch_up() == 120


def test_writers_wait_while_no_snapshot_is_saved():
    class Broken(MemorySnapshots):
        def save(self, *_: Any) -> None:
            raise DamagedSnapshot("no memory for it")

    with Fleet() as fleet:
        fleet.snapshots = Broken(fleet.lock)
        pod = fleet.pod("a")
        pod.catch_up()
        limit = UNSAVED_SNAPSHOTS_MAX * EVERY
        with pytest.raises(LogFull, match=f"after version {limit} .*: the newest snapshot is of version 0"):
            for _ in range(limit + 1):
                fleet.append(1)
                if fleet._sent % EVERY == 0:
                    pod.catch_up()
                    with pytest.raises(DamagedSnapshot):
                        pod.snapshotter.look()
                    pod.snapshotter.tend()
                    pod.beat()
        assert pod.catch_up() == limit, "predictions go on"


def test_the_nearest_limit_counts():
    records = [record("a", version=90), record("b", version=70), record("new", version=1, joined=False)]
    settings = {"lag_max": 50, "snapshot_every": 10}
    assert limit_of(records, 60, 0.5, **settings).version == 120
    assert limit_of(records, 10, 0.5, **settings).version == 110
    assert limit_of(records, 60, 0.91, **settings).version == 0
    assert limit_of([], 60, 0.9, **settings).version == 160


def record(name: str, version: int = 0, joined: bool = True, confirmed: str = "") -> ReplicaRecord:
    return ReplicaRecord(name, version, 1, "c", "d", "hash-1", "", 0, confirmed, joined)


def snapshot_of(version: int, sha256: str = "s") -> Snapshot:
    return Snapshot(version, "c", "log", "hash-1", "d", sha256, 1, 0)


def test_what_has_to_stay():
    kept = [snapshot_of(30), snapshot_of(20), snapshot_of(10)]
    assert first_to_keep(35, kept, retain=1) == 10
    assert first_to_keep(35, kept, retain=30) == 5
    assert first_to_keep(35, kept, retain=100) == 0
    assert first_to_keep(35, kept[:2], retain=1) == 0
    assert first_to_keep(35, [snapshot_of(30)] * 3, retain=1) == 0, "of one version, they are one"
    assert first_to_keep(35, kept, retain=None) == 0


def test_who_confirms():
    newest = snapshot_of(30, "new")
    assert is_confirmed(newest, [], "me")
    assert is_confirmed(newest, [record("me")], "me")
    assert not is_confirmed(newest, [record("other", confirmed="old")], "me")
    assert is_confirmed(newest, [record("other"), record("third", confirmed="new")], "me")
