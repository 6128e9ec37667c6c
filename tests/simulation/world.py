"""A world in which everything that may happen to the log happens, drawn by one seed.

The protocol code is the product's: log, lock and snapshots in memory, actor and follower, the consumer with
its positions and its patience, snapshotter and direct sink. Simulated are what lies between them: the wire to
the log's server, Kafka's client, time. There are no threads: every call over a wire is a moment at which the
world goes on, so that other processes act between a call, what it does and its answer.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from accidents import Accidents
from history import History
from keepers import hand_over_and_back
from operators import Operators
from parts import Parts
from processes import SimulatedReplica
from simulated_kafka import PARTITIONS, SimulatedKafka
from simulated_server import Crashed, SnapshotWire, Wire
from verdict import check, settle

from odl.errors import DamagedSnapshot, Fenced, HistoryLost, Superseded, Unavailable
from odl.replicas import MemoryReplicas
from odl.snapshotter import save_now

STEPS = 150  # about 100 events: enough for every fault to meet every other within a few hundred seeds
DEPTH_MAX = 3  # processes under way at the same time
CHANCE = 0.15  # that something happens at a moment

# Chance of each fault of a call over a wire to the log.
FAULTS = (
    ("request lost", 0.02),
    ("reply lost", 0.04),
    ("done twice", 0.02),
    ("late twin", 0.02),
    ("crash before", 0.004),
    ("crash after", 0.008),
)


class World:
    """One run. `run` raises `Violation` when a promise was broken; `lines` tells what happened, if wanted."""

    def __init__(self, seed: int, parts: Parts | None = None, *, tell: bool = False) -> None:
        self.dice = random.Random(seed)
        self.parts = parts or Parts()
        self.lines: list[str] | None = [] if tell else None
        self.counts: Counter[str] = Counter()  # of faults that landed, and of answers
        self.now = 0.0
        self.faulty = True
        self.late: list[tuple[str, Callable[[], Any]]] = []  # requests that will arrive a second time
        self.dead_values: set[bytes] = set()
        self.is_direct = self.dice.random() < 0.3 if self.parts.is_direct is None else self.parts.is_direct
        self._depth = 0
        self._away_until = 0.0
        self.history = History()
        self.lock = self.parts.lock(lambda: int(self.now * 1000))
        self.snapshots = self.parts.snapshots(self.lock)
        self.server = self.parts.server(self.snapshots, self.history, self.parts.ids_max)
        self.server.create()
        self.heartbeats = MemoryReplicas(lambda: int(self.now * 1000))
        self.kafka = SimulatedKafka(self)
        self.sender = self.parts.sender(self)
        self.consumers = [self.parts.consumer(self, f"consumer {name}") for name in "AB"]
        self.replicas = [self.parts.replica(self, f"replica {number}") for number in (1, 2)]
        self._made = len(self.replicas)
        self.accidents = Accidents(self)
        self.operators = Operators(self)
        self._actions = self._weigh_actions()

    def _weigh_actions(self) -> list[Callable[[], None]]:
        often = (
            [self.consume] * 8
            + [self.replicate] * 6
            + [self.ask] * 2
            + [self.consume_and_ask] * 3
            + [self.sender.send] * 4
        )
        seldom = [self.rebalance, self.snapshot, self.trim, self.deliver_late, self.go_away]
        seldom += [self.snapshot] * 3 + [
            self.snapshot_behind,
            self.sender.feed_twice,
            self.sender.feed_poison,
            self.restart,
        ]
        actions = often + [self.sender.feed_kafka] * 4 + seldom
        actions += [self.keep] * 4
        if self.dice.random() < 0.3:
            actions += [self.fill_memory]
        if self.dice.random() < 0.5:
            actions += [self.operators.act] * 2
        elif self.dice.random() < 0.5:
            actions += [self.hand_over]
        # REST straight into the log is promised only for a server that loses nothing.
        if self.is_direct:
            actions += [self.sender.send_unchecked]
        if not self.is_direct or self.parts.is_direct:
            actions += [self.accidents.back_up] * 2 + [self.accidents.rewind] * 2
            if self.dice.random() < 0.3:
                actions += [self.accidents.recreate_log]
            if self.dice.random() < 0.2:
                actions += [self.recreate_topic]
            actions += [self.accidents.fail_back, self.accidents.change_servers]
        return actions

    # What processes are told

    def say(self, line: str, *values: object) -> None:
        """One line of the trace."""
        if self.lines is not None:
            self.lines.append(f"{self.now:9.3f} {'  ' * self._depth}{line % values if values else line}")

    def landed(self, fault: str, where: str = "") -> None:
        """Count a fault that had an effect."""
        self.counts[fault] += 1
        self.say("! %s %s", fault, where)

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.now += seconds

    def next_fault(self) -> str | None:
        """What goes wrong with a call; None for nothing."""
        if not self.faulty:
            return None
        if self.now < self._away_until:
            return "away"
        drawn = self.dice.random()
        for fault, chance in FAULTS:
            if drawn < chance:
                return fault
            drawn -= chance
        return None

    def go_on(self, chance: float = CHANCE) -> None:
        """A moment at which others may act."""
        if self.faulty and self._depth < DEPTH_MAX and self.dice.random() < chance:
            self._depth += 1
            try:
                self.dice.choice(self._actions)()
            finally:
                self._depth -= 1

    # What may happen

    def _step(self, process: Any, step: Callable[[], object]) -> bool:
        """Let a process act unless it is in the middle of something; whether it survived."""
        if process.is_busy:
            return True
        process.is_busy = True
        try:
            step()
        except Crashed:
            self.say("%s crashed", process.name)
            return False
        finally:
            process.is_busy = False
        return True

    def consume(self) -> None:
        """A consumer takes a turn."""
        number = self.dice.randrange(len(self.consumers))
        self._use(number, self.consumers[number].turn)

    def _use(self, number: int, step: Callable[[], object]) -> None:
        consumer = self.consumers[number]
        self.say("%s", consumer.name)
        if not self._step(consumer, step):
            self.consumers[number] = self.parts.consumer(self, consumer.name)

    def rebalance(self) -> None:
        """A partition is given or taken; a consumer that keeps one while another has it is a zombie."""
        number, partition = self.dice.randrange(len(self.consumers)), self.dice.randrange(PARTITIONS)
        consumer = self.consumers[number]
        if consumer.is_busy:
            return
        if self.dice.random() < 0.3:
            self._use(number, consumer.check_identity)
        elif partition in consumer.assigned:
            consumer.revoke(partition)
        else:
            if any(partition in other.assigned for other in self.consumers):
                self.landed("zombie twin", f"partition {partition}")
            self._use(number, lambda: consumer.assign(partition))

    def replicate(self) -> None:
        """A replica takes a turn."""
        number = self.dice.randrange(len(self.replicas))
        self.pass_time(self.dice.choice([0.001, 0.01, 0.2]))
        self.turn(number)

    def turn(self, number: int) -> None:
        """One turn of a replica; another one takes the place of one that crashes."""
        replica = self.replicas[number]
        self.say("%s at version %s", replica.name, replica.follower.fold.version)
        if not self._step(replica, replica.turn):
            self.replicas[number] = self._new_replica()

    def _new_replica(self) -> SimulatedReplica:
        self._made += 1
        return self.parts.replica(self, f"replica {self._made}")

    def restart(self) -> None:
        """A replica is replaced by a new one."""
        number = self.dice.randrange(len(self.replicas))
        if not self.replicas[number].is_busy:
            self.landed("replica restarted")
            self.replicas[number] = self._new_replica()

    def ask(self) -> None:
        """Somebody asks a replica, which may be in the middle of a turn."""
        replica = self.dice.choice(self.replicas)
        replica.question()
        self.say("%s is asked", replica.name)

    def consume_and_ask(self) -> None:
        """Somebody who has seen that something was appended asks every replica."""
        self.consume()
        for replica in self.replicas:
            replica.question()
        self.say("everybody is asked")

    def snapshot(self) -> None:
        """A replica saves itself, or finds that another one is at it."""
        self._save(self.dice.choice(self.replicas))

    def snapshot_behind(self) -> None:
        """The replica that is furthest behind saves itself as often as it takes to replace every other."""
        replica = min(self.replicas, key=lambda each: each.follower.fold.version)
        for _ in range(3):
            self.pass_time(0.01)
            self._save(replica)

    def _save(self, replica: SimulatedReplica) -> None:
        if replica.is_busy or replica.follower.fold.version == 0 or self.server.head_now is None:
            return
        try:
            save_now(replica, SnapshotWire(self), self.lock, self.parts.learner.from_bytes)  # type: ignore[arg-type]
        except Fenced:
            self.landed("snapshot fenced")
        except DamagedSnapshot:
            self.landed("damage found")
        except HistoryLost:
            self.landed("snapshot elsewhere")

    def trim(self) -> None:
        """Somebody trims the log, to where snapshots seem to be or to where a replica is."""
        version = self.dice.choice(self.replicas).follower.fold.version
        covered = sorted({snapshot.version for snapshot in self.snapshots.list()})[-2:]
        if self.dice.random() < 0.7 and covered:
            version = covered[0]
        lease = self.lock.acquire("trimmer", 30_000)
        if lease is None:
            return
        try:
            removed = Wire(self).trim(max(1, version - self.dice.randrange(3)), "hash-1", lease)
            if removed:
                self.landed("trimmed", f"{removed} entries")
        except (Unavailable, ValueError, Fenced, Crashed) as error:
            self.say("no trim: %s", error)
        finally:
            self.lock.release(lease)

    def keep(self) -> None:
        """A replica's heartbeat and snapshotter have their second."""
        self.pass_time(0.5)
        self.dice.choice(self.replicas).keeper.act()

    def make_room(self) -> None:
        """Whoever can, learns what it has to and sets the limit anew."""
        if self.dice.random() < 0.5:
            self.server.share = 0.0
        for number, replica in enumerate(self.replicas):
            if not replica.is_busy:
                self.turn(number)
                self.replicas[number].keeper.act()

    def fill_memory(self) -> None:
        """The server's memory is nearly full, until somebody makes room."""
        self.server.share = self.dice.choice([0.0, 0.95])
        self.landed("memory nearly full" if self.server.share else "memory free")

    def hand_over(self) -> None:
        """The log goes to another fold and back."""
        hand_over_and_back(self)

    def deliver_late(self) -> None:
        """A request arrives a second time, after others."""
        if self.late:
            name, call = self.late.pop(self.dice.randrange(len(self.late)))
            self.landed("late twin", name)
            try:
                call()
            except (Unavailable, Fenced, Superseded, ValueError) as error:
                self.say("refused: %s", error)

    def go_away(self) -> None:
        """The server cannot be reached for a while."""
        self._away_until = self.now + self.dice.choice([0.05, 0.5])

    def recreate_topic(self) -> None:
        """The topic is deleted and created again, with what it held gone."""
        self.landed("topic re-created")
        self.kafka.begin()

    # A run

    def run(self) -> None:
        """Everything. Raises `Violation`."""
        for number in range(PARTITIONS):
            self._use(number, lambda number=number: self.consumers[number].assign(number))  # type: ignore[misc]
        for _ in range(STEPS):
            self.pass_time(0.01)
            self.dice.choice(self._actions)()
        settle(self)
        check(self)
