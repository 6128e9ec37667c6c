"""What a world is made of; a mutant replaces one part by a weaker one."""

from dataclasses import dataclass

from hash_learner import HashLearner
from processes import SimulatedConsumer, SimulatedReplica
from senders import Sender
from simulated_server import Server

from odl.actor import Actor
from odl.follower import Follower
from odl.memory import MemoryLock, MemorySnapshots
from odl.snapshotter import Snapshotter
from streaming.source import Positions


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes that a world uses, by default those of the product."""

    server: type[Server] = Server
    lock: type[MemoryLock] = MemoryLock
    snapshots: type[MemorySnapshots] = MemorySnapshots
    consumer: type[SimulatedConsumer] = SimulatedConsumer
    positions: type[Positions] = Positions
    follower: type[Follower] = Follower
    actor: type[Actor] = Actor
    replica: type[SimulatedReplica] = SimulatedReplica
    learner: type[HashLearner] = HashLearner
    sender: type[Sender] = Sender
    snapshotter: type[Snapshotter] = Snapshotter
    ids_max: int = 10_000  # ids that the log remembers, far beyond the events of one run
    is_direct: bool | None = None  # REST into the log without Kafka, whatever happens to it; None: drawn
