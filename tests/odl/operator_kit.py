"""Replicas and operators on one log, for tests of what happens to a model during its life."""

from typing import Any

from hash_learner import HashLearner

from odl.errors import HistoryLost
from odl.folds import Folds
from odl.lifecycle import Lifecycle
from odl.lock import VersionLock
from odl.log import Log
from odl.memory import MemorySnapshots
from odl.replay import Replayed, replay
from odl.replica import Replica, ReplicaSettings
from odl.snapshots import Snapshot, SnapshotStore

WAIT_S = 60.0
FIRST, SECOND = {"fold_id": "hash-1"}, {"fold_id": "hash-2"}  # specs


class Forgetful(MemorySnapshots):
    """Cannot save, so that replicas have to fold anew by themselves."""

    def save(self, snapshot: Snapshot, data: bytes, lease: Any) -> None:
        raise HistoryLost("no room")


def ids(first: int, last: int) -> list[str]:
    return [f"f-{number}" for number in range(first, last + 1)]


def state_after(*teach: str, skips: int = 0) -> HashLearner:
    """A learner that learned these, with the versions that teach nothing at the end."""
    learner = HashLearner()
    for name in teach:
        learner.learn_one({"n": name}, "yes")
    for _ in range(skips):
        learner.skip_one()
    return learner


def learner_of(spec: dict[str, Any]) -> HashLearner:
    """A learner of a spec."""
    return HashLearner(**spec)


def replica_on(log: Log, snapshots: SnapshotStore | None, **settings: Any) -> Replica:
    """A replica that can be promoted; not started."""
    chosen = ReplicaSettings(**({"deadline_s": WAIT_S} | settings))
    return Replica(
        HashLearner, HashLearner.from_bytes, log, snapshots, learner_of=learner_of, settings=chosen
    )


def operator_on(log: Log, snapshots: SnapshotStore, lock: VersionLock, by: str = "tester") -> Lifecycle:
    """An operator with the model file of spec `FIRST`."""
    folds = Folds(HashLearner, HashLearner.from_bytes, log, snapshots, learner_of)
    return Lifecycle(folds, HashLearner.from_bytes, snapshots, lock, spec=FIRST, by=by)


def offline(log: Log, to: int | None = None, **options: Any) -> Replayed:
    """The offline fold, which knows no snapshot."""
    return replay(log, HashLearner, to=to, learner_of=learner_of, **options)


def in_step(log: Log, *replicas: Replica) -> Replayed:
    """Assert that all replicas and the offline fold are one at the head."""
    done = offline(log)
    for replica in replicas:
        assert replica.predict([]).result(WAIT_S).version == done.version
        status = replica.status()
        assert (status.version, status.chain) == (done.version, done.chain)
        assert (status.digest, status.fold_id) == (done.digest, done.fold_id)
        assert (status.skipped, status.events) == (done.skipped, done.events)
        assert (status.accuracy, status.log_loss) == (done.scores.accuracy, done.scores.log_loss)
    return done
