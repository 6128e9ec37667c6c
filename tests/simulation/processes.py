"""The processes of the world: the real consumer, replica and sender code, on simulated connections."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition
from hash_learner import HashLearner, HashSchema
from history import require
from keepers import FOLDS, Keeper
from operators import learner_of
from simulated_kafka import TOPIC, SimulatedClient
from simulated_server import Crashed, SnapshotWire, Wire

from odl.actor import Actor, ReplicaSettings
from odl.errors import Unavailable
from odl.follower import Follower
from odl.log import CHAIN_START
from odl.mailbox import Predict, Request
from odl.status import Health
from streaming.consumer import FeedbackConsumer
from streaming.dead_letters import DeadLetter
from streaming.formats import JsonValues
from streaming.hold import Hold
from streaming.join import Join
from streaming.label_reader import LabelReader
from streaming.patience import Patience
from streaming.steps import Tally

if TYPE_CHECKING:
    from world import World

ROW = {"row": 1}
FULL_WAITS_MAX = 40
SETTLING_WAITS_MAX = 400  # a replica that folds anew, entry by entry, is far behind for long


class VirtualPatience(Patience):
    """Waits in virtual time."""

    def __init__(self, wire: Wire, world: "World") -> None:
        super().__init__(wire)  # type: ignore[arg-type]
        self._world = world
        self._full_for = 0  # waits in a row for a log that takes nothing

    def pause(self, seconds: float) -> None:
        world = self._world
        world.pass_time(seconds)
        world.go_on()
        if not world.server.is_full:
            self._full_for = 0
            return
        self._full_for += 1
        if self._full_for > (FULL_WAITS_MAX if world.faulty else SETTLING_WAITS_MAX):
            # Those who could make room are in the middle of something.
            require(world.faulty, "nobody makes room in the log")
            world.landed("crash while full")
            raise Crashed
        world.make_room()


class DeadLetterTopic:
    """Keeps dead letters, or does not, or does and does not say so."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def write(self, letters: list[DeadLetter]) -> None:
        world = self._world
        world.go_on()
        fault = world.dice.random() if world.faulty else 1.0
        if fault < 0.03:
            world.landed("crash before", "dead letter")
            raise Crashed
        if fault >= 0.06:
            world.dead_values.update(letter.value for letter in letters)
        if fault < 0.1:
            world.landed("dead letter unconfirmed")
            raise Unavailable("no confirmation")


class SimulatedConsumer(FeedbackConsumer):
    """The real consumer. Only its constructor is replaced, since that connects to a broker, and `run`'s loop,
    which is the world's. When a topic's identity is checked is drawn, not timed."""

    is_busy = False

    def __init__(self, world: "World", name: str) -> None:
        wire = Wire(world)
        self._client = client = SimulatedClient(world)
        self.name = name
        self._world = world
        self._name = TOPIC
        self._log = wire  # type: ignore[assignment]
        self._schema = HashSchema()
        self._dead_letters = DeadLetterTopic(world)  # type: ignore[assignment]
        self._batch_max = 8
        self._identity_check_s = float("inf")
        self._positions = world.parts.positions(client, TOPIC, wire)  # type: ignore[arg-type]
        self._patience = VirtualPatience(wire, world)
        self._join = LabelReader(Join(wire, None))  # type: ignore[arg-type]
        self._values = JsonValues()
        self._hold = Hold(self._patience, self._seek_soon)
        self._tally = Tally()
        self._places = {}
        self._checked_at = 0.0
        self._consumer = client  # type: ignore[assignment]

    @property
    def is_at_the_end(self) -> bool:
        """Whether everything that its partitions hold was read."""
        ends = self._world.kafka.ends
        return all(self._client.next.get(partition) == ends[partition] for partition in self._places)

    @property
    def assigned(self) -> list[int]:
        return list(self._places)

    def assign(self, partition: int) -> None:
        if self._positions._topic is None:  # as `run` begins
            self._patience.until_done("topic", self._positions.identify)
        self._on_assign(self._consumer, [TopicPartition(TOPIC, partition)])

    def revoke(self, partition: int) -> None:
        self._on_revoke(self._consumer, [TopicPartition(TOPIC, partition)])

    def turn(self) -> None:
        self._turn()

    def check_identity(self) -> None:
        self._check_identity()


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction that somebody waits for."""

    request: Predict
    asked: int  # index of the head that the log had then


class SimulatedReplica:
    """A real actor and its follower, and the mailbox that the world fills."""

    is_busy = False

    def __init__(self, world: "World", name: str) -> None:
        dice = world.dice
        self.name = self.replica_id = name
        self._world = world
        self._inbox: list[Request] = []
        self._questions: list[Question] = []
        settings = ReplicaSettings(
            learn_per_turn_max=dice.choice([1, 3, 100]),
            policy=dice.choice(["refuse", "refuse", "stale"]),
            retry_every_s=0.1,
            snapshot_every=10,
            lag_max=dice.choice([6, 30]),
        )
        self.settings = settings
        self.confirmed = ""
        follower = world.parts.follower(
            world.parts.learner,
            world.parts.learner.from_bytes,
            Wire(world),  # type: ignore[arg-type]
            SnapshotWire(world),
            learner_of,
        )
        self.actor: Actor = world.parts.actor(follower, settings, lambda: world.now)
        self.keeper = Keeper(world, self)
        self._epoch = 0
        self._served = (CHAIN_START, 0)  # chain and epoch of the last fresh answer

    @property
    def follower(self) -> Follower:
        return self.actor.follower

    def ask(self, function: Any) -> "Future[Any]":
        """What the snapshotter asks of a replica; run between two turns."""
        future: Future[Any] = Future()
        is_busy, self.is_busy = self.is_busy, True
        try:
            future.set_result(function(self.follower))
        finally:
            self.is_busy = is_busy
        return future

    @property
    def has_joined(self) -> bool:
        return self.actor.has_joined

    def health(self) -> Health:
        """What the snapshotter looks at: version and epoch."""
        return Health(True, True, "", self.follower.fold.version, self.follower.epoch)

    def question(self) -> Predict:
        """Somebody asks for a prediction."""
        request = self.actor.request([ROW])
        self._inbox.append(request)
        self._questions.append(Question(request, len(self._world.history.heads) - 1))
        return request

    def turn(self) -> None:
        requests, self._inbox = self._inbox, []
        self.actor.turn(requests)
        self._check()

    def _check(self) -> None:
        history, follower = self._world.history, self.follower
        history.check_fold(self.name, follower.fold)
        require(follower.epoch >= self._epoch, "epoch of %s went back to %s", self.name, follower.epoch)
        self._epoch = follower.epoch
        waiting = []
        for question in self._questions:
            if question.request.future.done():
                self._check_answer(question)
            else:
                waiting.append(question)
        self._questions = waiting

    def _check_answer(self, question: Question) -> None:
        world, future = self._world, question.request.future
        if future.exception(0) is not None:
            world.counts["refused"] += 1
            return
        answer, fold = future.result(0), self.follower.fold
        world.counts["stale" if answer.stale else "answered"] += 1
        require(answer.version == fold.version, "answer %s by version %s", answer.version, fold.version)
        expected = HashLearner(world.history.links[fold.chain].state, fold.version).predict_one(ROW)
        require(answer.predictions == [expected], "%s predicted by another state", self.name)
        if answer.stale:
            return
        world.say("%s answers at version %s, epoch %s", self.name, answer.version, answer.epoch)
        world.history.check_answer(self.name, fold.chain, question.asked)
        world.history.check_fold_id(self.name, FOLDS[0], question.asked)
        chain, epoch = self._served
        goes_on = world.history.is_within(chain, fold.chain)
        require(goes_on or answer.epoch > epoch, "%s left its history within epoch %s", self.name, epoch)
        self._served = (fold.chain, answer.epoch)
