"""Those who keep the log in bounds: heartbeats, the limit, trims; and hand-overs to another fold."""

from typing import TYPE_CHECKING, Any

from history import require
from simulated_server import Crashed, SnapshotWire, Wire

from odl.adopt import adopt
from odl.errors import DamagedSnapshot, Fenced, HistoryLost, Unavailable
from odl.lock import Lease
from odl.log import Head
from odl.replicas import ReplicaRecord

if TYPE_CHECKING:
    from processes import SimulatedReplica
    from world import World

RETAIN = 8  # entries that trimming leaves at least
BEAT_MS = 5_000
FOLDS = ("hash-1", "hash-2")


class Seen:
    """The heartbeats as one keeper saw them last."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.last: list[ReplicaRecord] = []

    def list(self) -> list[ReplicaRecord]:
        self._world.go_on()
        self.last = self._world.heartbeats.list()
        return self.last


class KeeperWire(Wire):
    """A snapshotter's connection: what it trims was confirmed, and enough stays."""

    def __init__(self, world: "World", name: str, seen: Seen) -> None:
        super().__init__(world)
        self._name = name
        self._seen = seen
        self._head = 0  # as it was when it decided what to trim

    def head(self) -> Head:
        head = super().head()
        self._head = head.version
        return head

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        world = self._world
        removed = super().trim(up_to_version, fold_id, lease)
        if removed:
            world.landed("trimmed as retained", f"{removed} entries")
            left = self._head - up_to_version
            require(left >= RETAIN, "%s entries stay, %s were to be retained", left, RETAIN)
            others = [each for each in self._seen.last if each.id != self._name]
            is_confirmed = any(each.confirmed for each in others if each.fold_id == fold_id)
            require(is_confirmed or not others, "%s trimmed what nobody else had confirmed", self._name)
        return removed


class Keeper:
    """The product's snapshotter of one replica, step by step, and its heartbeat."""

    def __init__(self, world: "World", replica: "SimulatedReplica") -> None:
        self._world = world
        self._replica = replica
        seen = Seen(world)
        self._snapshotter: Any = world.parts.snapshotter(
            replica,  # type: ignore[arg-type]
            SnapshotWire(world),
            world.lock,
            world.parts.learner.from_bytes,
            KeeperWire(world, replica.name, seen),  # type: ignore[arg-type]
            seen,
            RETAIN,
        )

    def act(self) -> None:
        """One beat, one look, one round of tending; what a thread each does once a second."""
        if self._replica.is_busy:
            return
        try:
            self.beat()
            self._snapshotter._try(self._snapshotter.look)
            self._snapshotter._try(self._snapshotter.tend)
        except Crashed:
            self._world.say("the keeper of %s crashed", self._replica.name)

    def beat(self) -> None:
        """Say where the replica is."""
        replica, fold = self._replica, self._replica.follower.fold
        record = ReplicaRecord(
            replica.name,
            fold.version,
            replica.follower.epoch,
            fold.chain,
            "",
            fold.learner.fold_id,
            "",
            int(self._world.now * 1000),
            replica.confirmed,
            replica.has_joined,
        )
        self._world.heartbeats.beat(record, BEAT_MS)


def hand_over(world: "World", fold_id: str) -> None:
    """An operator hands the log over. Raises what `adopt` raises."""
    if world.server.head_now is None:
        return
    before = world.server.head().fold_id
    adopt(Wire(world), SnapshotWire(world), world.lock, fold_id, world.parts.learner.from_bytes)  # type: ignore[arg-type]
    if before != fold_id:
        world.landed("handed over", fold_id)


def hand_over_and_back(world: "World") -> None:
    """To another fold, whose replicas nobody has started, and back: those of the first refuse meanwhile."""
    try:
        hand_over(world, FOLDS[1])
        for replica in world.replicas:
            replica.question()
        for number in range(len(world.replicas)):
            world.turn(number)
        world.go_on(1.0)
        hand_over(world, FOLDS[0])
    except HistoryLost as error:
        world.landed("hand-over refused", str(error))
    except (Unavailable, Fenced, DamagedSnapshot, Crashed) as error:
        world.say("no hand-over: %s", error)
