"""Hypothesis drives replicas on one log, and shrinks what goes wrong to the fewest steps.

Where the simulation draws long histories of every fault, this machine has few actions and no wire: it looks
for short sequences of turns, rewinds, snapshots, trims and hand-overs that break a promise to a reader.
"""

import contextlib
from collections.abc import Callable, Sequence

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
from odl.log import CHAIN_START, Append
from odl.mailbox import Predict, Request
from odl.memory import MemoryLock
from odl.snapshotter import capture, describe

ROW = {"row": 1}
REPLICAS = 2
BACKUPS_MAX = 3
TURNS_MAX = 200  # of one replica at rest, learning one entry a turn

EXAMPLES = 150

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
                history.check_answer(self.name, fold.chain, index)
                chain, epoch = self._served
                goes_on = history.is_within(chain, fold.chain)
                assert goes_on or request.future.result(0).epoch > epoch, "another branch in the same epoch"
                self._served = (fold.chain, request.future.result(0).epoch)
        self._questions = [each for each in self._questions if not each[0].future.done()]


class ReplicaMachine(RuleBasedStateMachine):
    """Two replicas, a log, its snapshots and its backups."""

    parts = Parts()

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
        self.readers = [Reader(self, f"replica {number}", 1 + 2 * number) for number in range(REPLICAS)]

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

    @rule(who=replicas, learn_per_turn=st.sampled_from([1, 3, 100]))
    def restart(self, who: int, learn_per_turn: int) -> None:
        self.readers[who] = Reader(self, f"replica {who}", learn_per_turn)

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


def test_no_short_sequence_of_faults_breaks_a_promise() -> None:
    run_machine(ReplicaMachine)


@pytest.mark.parametrize("name", ["version_only", "trim_before_verify"])
def test_a_rule_that_is_missing_is_noticed(name: str) -> None:
    weaker = type("Weaker", (ReplicaMachine,), {"parts": MUTANTS[name]})
    with pytest.raises((Violation, AssertionError, HistoryLost)):
        run_machine(weaker, phases=[Phase.generate])
