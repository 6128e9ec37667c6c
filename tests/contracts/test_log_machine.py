"""Random histories: a log in Redis answers what the log in memory answers, call by call."""

import itertools

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from odl.log import Append, Head
from odl.memory import MemoryLog
from odl.redis_log import RedisLog

IDS_MAX = 4  # so that generations of ids change often

positions = st.integers(0, 12).map(str)
sources = st.sampled_from(["kafka:c:t:0", "kafka:c:t:1"])
ids = st.integers(0, 15).map(str)


@st.composite
def appends(draw: st.DrawFn) -> Append:
    """Anything that a sender may ask: zombies, duplicates, holes, gaps."""
    if draw(st.booleans()):
        event_id = draw(ids)
        return Append(event_id.encode(), event_id, "rest:test")
    prev, seq = draw(st.tuples(st.none() | positions, positions).filter(_in_order))
    event_id = draw(st.just("") | ids)
    return Append(event_id.encode(), event_id, draw(sources), prev, seq)


def _in_order(pair: tuple[str | None, str]) -> bool:
    return pair[0] is None or int(pair[0]) < int(pair[1])


def machine_on(client: redis.Redis) -> type[RuleBasedStateMachine]:
    """The machine, on a server that is shared: every run takes a name of its own."""
    numbers = itertools.count(1)

    class LogMachine(RuleBasedStateMachine):
        @initialize()
        def create(self) -> None:
            self.memory = MemoryLog(ids_max=IDS_MAX)
            self.redis = RedisLog(client, f"machine-{next(numbers)}", ids_max=IDS_MAX)
            assert _same(self.memory.create(), self.redis.create())
            self.held: dict[str, str | None] = {}  # what a well-behaved sender believes

        @rule(item=appends())
        def append(self, item: Append) -> None:
            assert self.memory.append(item) == self.redis.append(item)

        @rule(items=st.lists(appends(), max_size=6))
        def append_many(self, items: list[Append]) -> None:
            assert self.memory.append_many(items) == self.redis.append_many(items)

        @rule(source=sources, step=st.integers(1, 3), event_id=st.just("") | ids)
        def append_next(self, source: str, step: int, event_id: str) -> None:
            prev = self.memory.position(source)
            seq = str(step + (-1 if prev is None else int(prev)))
            self.append(Append(event_id.encode(), event_id, source, prev, seq))

        @rule(version=st.integers(0, 30), count=st.integers(0, 5))
        def read(self, version: int, count: int) -> None:
            memory, other = self.memory.read(version, count), self.redis.read(version, count)
            assert memory.entries == other.entries
            assert _same(memory.head, other.head)

        @rule(at_least=st.integers(1, 5))
        def raise_epoch(self, at_least: int) -> None:
            assert _same(self.memory.raise_epoch(at_least), self.redis.raise_epoch(at_least))

        @invariant()
        def everything_else_is_the_same(self) -> None:
            assert _same(self.memory.head(), self.redis.head())
            assert self.memory.positions() == self.redis.positions()
            assert self.memory.counters() == self.redis.counters()

    return LogMachine


def _same(memory: Head, other: Head) -> bool:
    return (memory.version, memory.chain, memory.epoch) == (other.version, other.chain, other.epoch)


@pytest.mark.parametrize("examples", [60])
def test_redis_answers_what_memory_answers(redis_client: redis.Redis, examples: int) -> None:
    run_state_machine_as_test(
        machine_on(redis_client),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
