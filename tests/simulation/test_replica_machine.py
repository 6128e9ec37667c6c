"""Hypothesis drives replicas on one log, and shrinks what goes wrong to the fewest steps.

Where the simulation draws long histories of every fault, this machine has few actions and no wire: it looks
for short sequences of turns, rewinds, snapshots, trims and hand-overs that break a promise to a reader.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hash_learner import HashLearner
from history import History, Violation
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mutants import MUTANTS
from parts import Parts
from simulated_server import Backup

from odl.actor import ReplicaSettings
from odl.errors import HistoryLost, OtherFold
from odl.event import Event, encode
from odl.follower import Follower
from odl.log import CHAIN_START, Append, Head
from odl.mailbox import Answer, Predict, Request
from odl.memory import MemoryLock
from odl.snapshotter import capture, describe

ROW = {"row": 1}
REPLICAS = 2
BACKUPS_MAX = 3
TURNS_MAX = 200  # of one replica at rest, learning one entry a turn

EXAMPLES = 150
BESIDE = ("append", "restore", "turn", "ask_beside", "send_check", "see_head")

replicas = st.integers(0, REPLICAS - 1)


class Reader:
    """A replica, who waits for its answers, and what it has answered."""

    def __init__(self, machine: "ReplicaMachine", name: str, learn_per_turn: int) -> None:
        self._machine = machine
        self.name = name
        parts = machine.parts
        follower = parts.follower(HashLearner, HashLearner.from_bytes, machine.server, machine.snapshots)
        # Time stands still: nobody's deadline passes, and what failed is tried again in every turn.
        limits = ReplicaSettings(learn_per_turn_max=learn_per_turn, retry_every_s=1e-9)
        self.actor = parts.actor(follower, limits, machine.clock)
        self._inbox: list[Request] = []
        self._questions: list[tuple[Predict, int]] = []  # with the index of the log's head when it was asked
        self._served = (CHAIN_START, 0)  # chain and epoch of the last answer
        # An event loop beside the replica's thread: who waits for its next check, who for the one under way,
        # and the head that this one saw. All but the head are indexes of the log's head when they asked.
        self.next: list[int] = []
        self.waiting: list[int] = []
        self.seen: Head | None = None

    def ask_beside(self) -> None:
        self.next.append(len(self._machine.history.heads) - 1)

    def send_check(self) -> None:
        if not self.waiting:
            self.waiting, self.next = self.next, []

    def see_head(self) -> None:
        if self.waiting and self.seen is None:
            self.seen = self._machine.server.head()

    def take_reply(self) -> None:
        """Answer beside the thread those who can be, and leave the others to it."""
        if self.seen is None:
            return
        indexes, head = self.waiting, self.seen
        self.waiting, self.seen = [], None
        for index, told in zip(indexes, self.actor.answer_at(head, [([ROW], 0)] * len(indexes)), strict=True):
            if told is None:
                self.ask()
                continue
            assert isinstance(told, Answer)
            fold = self.actor.follower.fold
            assert (told.version, told.epoch, head.fold_id) == (fold.version, head.epoch, "hash-1")
            assert told.predictions == [fold.learner.predict_one(ROW)]
            self._check(told, index)
            type(self._machine).beside += 1

    def ask(self) -> Predict:
        request = self.actor.request([ROW])
        self._inbox.append(request)
        self._questions.append((request, len(self._machine.history.heads) - 1))
        return request

    def turn(self) -> None:
        asked, self._inbox = self._inbox, []
        self.actor.turn(asked)
        history, fold = self._machine.history, self.actor.follower.fold
        history.check_fold(self.name, fold)
        for request, index in self._questions:
            if request.future.done() and request.future.exception(0) is None:
                assert request.future.result(0).version == fold.version
                assert self._machine.server.head().fold_id == "hash-1", "answered for another fold's log"
                self._check(request.future.result(0), index)
        self._questions = [each for each in self._questions if not each[0].future.done()]

    def _check(self, answer: Answer, index: int) -> None:
        history, chain_now = self._machine.history, self.actor.follower.fold.chain
        history.check_answer(self.name, chain_now, index)
        chain, epoch = self._served
        goes_on = history.is_within(chain, chain_now)
        assert goes_on or answer.epoch > epoch, "another branch in the same epoch"
        self._served = (chain_now, answer.epoch)


class ReplicaMachine(RuleBasedStateMachine):
    """Two replicas, a log, its snapshots and its backups."""

    parts = Parts()
    reader = Reader
    beside = 0  # answers that needed no turn, of all runs

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0
        self.history = History()
        self.lock = MemoryLock(lambda: 0)
        self.snapshots = self.parts.snapshots(self.lock)
        self.server = self.parts.server(self.snapshots, self.history, ids_max=10_000)
        self.server.create()
        self.backups: list[Backup] = [self.server.backup()]
        self.sent = 0
        self.readers = [self.reader(self, f"replica {number}", 1 + 2 * number) for number in range(REPLICAS)]

    def clock(self) -> float:
        self.time_s += 1e-6
        return self.time_s

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        for _ in range(count):
            event = Event(id=f"e-{self.sent}", x={"n": self.sent}, y="yes", source="rest:test")
            self.server.append(Append(encode(event), event.id, event.source))
            self.sent += 1

    @rule(who=replicas, turns=st.integers(0, 3))
    def ask(self, who: int, turns: int) -> None:
        self.readers[who].ask()
        for _ in range(turns):
            self.readers[who].turn()

    @rule(who=replicas)
    def turn(self, who: int) -> None:
        self.readers[who].turn()

    @rule(
        who=replicas,
        before=st.lists(st.sampled_from(["append", "restore", "turn"]), max_size=3),
        during=st.lists(st.sampled_from(BESIDE), min_size=2, max_size=6),
    )
    def ask_beside(self, who: int, before: list[str], during: list[str]) -> None:
        """A head check of an event loop, with what happens before it and meanwhile."""
        steps = ("turn", "turn", *before, "ask_beside", "send_check", "see_head", *during, "take_reply")
        for step in steps:
            if step == "append":
                self.append(1)
            elif step == "restore":
                self.restore(0)
            else:
                getattr(self.readers[who], step)()

    @rule(who=replicas, step=st.sampled_from(["ask_beside", "send_check", "see_head", "take_reply"]))
    def step_beside(self, who: int, step: str) -> None:
        getattr(self.readers[who], step)()

    @rule(who=replicas, learn_per_turn=st.sampled_from([1, 3, 100]))
    def restart(self, who: int, learn_per_turn: int) -> None:
        self.readers[who] = self.reader(self, f"replica {who}", learn_per_turn)

    @rule(who=replicas)
    def save(self, who: int) -> None:
        captured = capture(self.readers[who].actor.follower)
        lease = self.lock.acquire("snapshotter", 1)
        assert lease is not None
        with contextlib.suppress(HistoryLost):
            self.snapshots.save(describe(captured, HashLearner.from_bytes), captured.data, lease)
        self.lock.release(lease)

    @rule(back=st.integers(0, 4))
    def trim(self, back: int) -> None:
        lease = self.lock.acquire("trimmer", 1)
        assert lease is not None
        with contextlib.suppress(ValueError):  # what snapshots do not cover stays
            self.server.trim(max(1, self.server.head().version - back), "hash-1", lease)
        self.lock.release(lease)

    @rule()
    def back_up(self) -> None:
        self.backups = [*self.backups, self.server.backup()][-BACKUPS_MAX:]

    @rule(which=st.integers(0, BACKUPS_MAX - 1))
    def restore(self, which: int) -> None:
        """A server that lost its tail, or another one with a branch of its own."""
        now, backup = self.server.backup(), self.backups[which % len(self.backups)]
        self.server.restore(backup)
        self.backups = [*self.backups, now][-BACKUPS_MAX:]

    @rule(fold_id=st.sampled_from(["hash-1", "hash-1", "hash-1", "hash-2"]))
    def hand_over(self, fold_id: str) -> None:
        lease = self.lock.acquire("operator", 1)
        assert lease is not None
        self.server.adopt(fold_id, lease)
        self.lock.release(lease)

    @invariant()
    def troubles_have_a_reason(self) -> None:
        for reader in self.readers:
            trouble = reader.actor.trouble
            assert trouble is None or isinstance(trouble, OtherFold), f"{reader.name}: {trouble}"

    def teardown(self) -> None:
        """At rest every replica answers by the whole log."""
        self.hand_over("hash-1")
        head = self.server.head()
        for reader in self.readers:
            request = reader.ask()
            _repeat(reader.turn, lambda request=request: request.future.done())
            assert request.future.result(0).version == head.version
            assert reader.actor.follower.fold.chain == head.chain


def _repeat(step: Callable[[], None], is_done: Callable[[], bool]) -> None:
    for _ in range(TURNS_MAX):
        step()
        if is_done():
            return
    raise AssertionError(f"not at rest after {TURNS_MAX} turns")


def run_machine(machine: type[ReplicaMachine], phases: Sequence[Phase] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


class JoiningReader(Reader):
    """Answers those, too, who came while the head was being read."""

    def take_reply(self) -> None:
        if self.seen is not None:
            self.waiting, self.next = self.waiting + self.next, []
        super().take_reply()


class NumberFollower(Follower):
    """Takes the version of a head for the whole of it."""

    def is_at(self, head: Head) -> bool:
        return self.fold.version == head.version


class HastyFollower(Follower):
    """Answers by what it has learned, though the head is further."""

    def is_at(self, head: Head) -> bool:
        return not self._restoring


def test_no_short_sequence_of_faults_breaks_a_promise() -> None:
    ReplicaMachine.beside = 0
    run_machine(ReplicaMachine)
    assert ReplicaMachine.beside > EXAMPLES


@pytest.mark.parametrize("name", ["version_only", "trim_before_verify"])
def test_a_rule_that_is_missing_is_noticed(name: str) -> None:
    weaker = type("Weaker", (ReplicaMachine,), {"parts": MUTANTS[name]})
    with pytest.raises((Violation, AssertionError, HistoryLost)):
        run_machine(weaker, phases=[Phase.generate])


@pytest.mark.parametrize(
    "missing",
    [
        {"reader": JoiningReader},
        {"parts": Parts(follower=NumberFollower)},
        {"parts": Parts(follower=HastyFollower)},
    ],
    ids=["joins_a_check_under_way", "compares_numbers_only", "does_not_compare"],
)
def test_a_rule_of_answers_beside_the_thread_that_is_missing_is_noticed(missing: dict[str, Any]) -> None:
    weaker = type("Weaker", (ReplicaMachine,), missing)
    with pytest.raises((Violation, AssertionError)):
        run_machine(weaker, phases=[Phase.generate])
