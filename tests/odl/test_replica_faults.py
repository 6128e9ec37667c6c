"""Seeded histories of faults: whatever happens to the log, an answer is by the log as it is."""

import contextlib
import random
from typing import Any

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl.actor import Actor, ReplicaSettings
from odl.errors import HistoryLost, Unavailable
from odl.fold import Fold
from odl.follower import Follower
from odl.log import Entry
from odl.mailbox import Predict
from odl.memory import MemoryLock, MemorySnapshots
from odl.snapshotter import capture, describe

ROW = {"n": "row"}
STEPS = 60


class World:
    """Two actors, one log, faults drawn by one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.log: FaultyLog
        self.snapshots: MemorySnapshots
        self.lock: MemoryLock
        self.log, self.snapshots, self.lock = new_log()
        self.now = 0.0
        self.backups: list[Any] = [(self.log.backup(), [])]
        self.entries: list[Entry] = []  # what the log holds, trimmed or not
        self.numbers = iter(range(10**9))
        self.actors = [self.new_actor(), self.new_actor()]
        self.answered = 0

    def new_actor(self) -> Actor:
        follower = Follower(HashLearner, HashLearner.from_bytes, self.log, self.snapshots)
        settings = ReplicaSettings(learn_per_turn_max=self.dice.choice([1, 3, 100]), retry_every_s=0.1)
        return Actor(follower, settings, lambda: self.now)

    def append(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            version = append(self.log, f"f-{next(self.numbers)}")
            self.entries.append(self.log.read(version - 1, 1).entries[-1])

    def backup(self) -> None:
        self.backups.append((self.log.backup(), list(self.entries)))

    def rewind(self) -> None:
        state, entries = self.dice.choice(self.backups[-3:])
        self.log.restore(state)
        self.entries = list(entries)

    def recreate(self) -> None:
        self.log.flush()
        self.log.create()
        self.entries, self.backups = [], [(self.log.backup(), [])]

    def snapshot(self) -> None:
        follower = self.dice.choice(self.actors).follower
        captured = capture(follower)
        lease = self.lock.acquire("test", 60_000)
        if lease and captured.version:
            # This replica may not know yet that it is on a lost branch.
            with contextlib.suppress(HistoryLost):
                self.snapshots.save(describe(captured, HashLearner.from_bytes), captured.data, lease)
        if lease:
            self.lock.release(lease)

    def trim(self) -> None:
        on_history = [
            snapshot.version
            for snapshot in self.snapshots.list()
            if snapshot.log_id == self.log.head().log_id
            and snapshot.version <= len(self.entries)
            and snapshot.chain == self.entries[snapshot.version - 1].chain
        ]
        if on_history:
            self.log.forget_before(max(on_history))

    def restart(self) -> None:
        self.actors[self.dice.randrange(2)] = self.new_actor()

    def outage(self) -> None:
        self.log.error = Unavailable("no Redis")
        request = self.actors[0].request([ROW])
        self.actors[0].turn([request])
        assert isinstance(request.future.exception(0), Unavailable)
        self.log.error = None

    def predict(self) -> None:
        actor = self.dice.choice(self.actors)
        request = actor.request([ROW])
        actor.turn([request])
        meanwhile = [list(self.entries)]  # what the log held at any moment while this request waited
        while not request.future.done():
            if self.dice.random() < 0.2:  # the world goes on
                self.dice.choice([self.append, self.rewind, self.snapshot])()
                meanwhile.append(list(self.entries))
            self.now += 0.01
            actor.turn([])
        self.check(request, actor, meanwhile)

    def check(self, request: Predict, actor: Actor, meanwhile: list[list[Entry]]) -> None:
        error = request.future.exception(0)
        if error is not None:
            assert isinstance(error, HistoryLost), "refused without a reason"
            return
        self.answered += 1
        answer, found = request.future.result(0), actor.follower.fold
        assert answer.version >= min(map(len, meanwhile)), "not the newest version"
        folds = [fold_of(entries[: answer.version]) for entries in meanwhile]
        served = [fold for fold in folds if (fold.version, fold.chain) == (answer.version, found.chain)]
        assert served, "a lost branch was served"
        assert found.learner.digest() == served[0].learner.digest()
        assert answer.predictions == [served[0].learner.predict_one(ROW)]


def fold_of(entries: list[Entry]) -> Fold:
    fold = Fold(HashLearner())
    for entry in entries:
        fold.take(entry)
    return fold


@pytest.mark.parametrize("seed", range(200))
def test_answers_are_by_the_whole_log_as_it_is(seed: int):
    world = World(seed)
    actions = [world.append] * 5 + [world.predict] * 5
    actions += [world.backup, world.rewind, world.snapshot, world.trim, world.restart, world.outage]
    for _ in range(STEPS):
        world.dice.choice(actions)()
        if world.dice.random() < 0.02:
            world.recreate()
        world.now += world.dice.choice([0.001, 0.2])
    assert world.answered
