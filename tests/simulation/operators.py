"""Operators of the world: they roll back and promote over the same bad wires as everybody."""

from typing import TYPE_CHECKING

from hash_learner import HashLearner
from simulated_server import Crashed, SnapshotWire, Wire

from odl.errors import DamagedSnapshot, Fenced, HistoryLost, Misconfigured, Superseded, Unavailable
from odl.folds import Folds
from odl.lifecycle import Lifecycle
from odl.lock import Lease
from odl.snapshots import Snapshot

if TYPE_CHECKING:
    from world import World

SPEC = {"fold_id": "hash-1"}  # promotions keep the learner and change what it learns


def learner_of(spec: dict[str, str]) -> HashLearner:
    """The stand-in of any spec."""
    return HashLearner(fold_id=spec["fold_id"])


class NoRoom(SnapshotWire):
    """Saves nothing: replicas have to fold anew by themselves."""

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        raise Unavailable("no room")


class Operators:
    """Whoever decides what the model is."""

    is_busy = False

    def __init__(self, world: "World") -> None:
        self._world = world
        self._decisions = 0

    def act(self) -> None:
        """Somebody rolls back, or begins the model anew after some version."""
        world = self._world
        head = world.server.head_now
        if self.is_busy or head is None or head.version < 2:
            return
        self.is_busy = True
        try:
            self._decide(self._operator(), head.version)
        except (Unavailable, Fenced, HistoryLost, Misconfigured, DamagedSnapshot) as error:
            world.say("the operator gives up: %s", error)
        except Superseded:
            world.landed("decision superseded")
        except Crashed:
            world.say("the operator crashed")
        finally:
            self.is_busy = False

    def _operator(self) -> Lifecycle:
        world = self._world
        self._decisions += 1
        learner = world.parts.learner
        store = (SnapshotWire if world.dice.random() < 0.5 else NoRoom)(world)
        folds = Folds(learner, learner.from_bytes, Wire(world), SnapshotWire(world), learner_of)  # type: ignore[arg-type]
        return Lifecycle(
            folds,
            learner.from_bytes,
            store,
            world.lock,
            spec=SPEC,
            by=f"operator {self._decisions}",
            wait_s=0.0,
            new_id=lambda: str(self._decisions),
            clock_ms=lambda: int(world.now * 1000),
        )

    def _decide(self, operator: Lifecycle, version: int) -> None:
        world = self._world
        seen = Wire(world).head()
        world.go_on(0.5)
        if world.dice.random() < 0.6:
            done = operator.rollback(world.dice.randrange(max(0, version - 12), version), expected=seen)
            world.landed("rolled back", f"to version {done.control.to} by version {done.version}")
        else:
            after = world.dice.randrange(version)
            is_afresh = world.dice.random() < 0.5
            done = operator.promote(after=after, afresh=is_afresh, expected=seen)
            world.landed("promoted", f"after version {after} by version {done.version}")
