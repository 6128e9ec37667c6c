"""Learning ahead, in a thread of its own, is the same fold as one by one, and is over when the call is."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hash_learner import HashLearner

from hedge_model import HedgeLearner, ModelSpec
from odl.ahead import AHEAD_MIN, BATCH_MAX
from odl.errors import HistoryLost, Unavailable
from odl.event import Event, Features, Label, encode
from odl.fold import Fold
from odl.learner import Learner, Predicted
from odl.log import CHAIN_START, Entry, next_chain

BINARY = ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=1, width=16)
GROWING = ModelSpec(task="multiclass", hidden_layers=1, width=16)
NUMBER = ModelSpec(task="regression", hidden_layers=1, width=16)
LABELS: dict[str, list[Label]] = {
    "binary": ["no", "yes"],
    "multiclass": ["a", "b", "c", "d", 7],
    "regression": [0.5, -1.0, 3],
}


class Halting(HashLearner):
    """Learns the first half of every other batch, as one that has to grow in the middle of it."""

    halted = 0

    def prepare(self, events: Any) -> list[Any]:
        return list(events)

    def prequential_batch(self, batch: Any) -> Predicted:
        self.halted += 1
        return super().prequential_batch(batch[: len(batch) // 2] if self.halted % 2 else batch)


def entries_of(events: list[Event]) -> list[Entry]:
    entries, chain = [], CHAIN_START
    for version, event in enumerate(events, start=1):
        chain = next_chain(chain, encode(event))
        entries.append(Entry(version, chain, encode(event)))
    return entries


def stream(labels: list[Label], count: int = 900) -> list[Event]:
    """Long plain stretches; missing numbers, new fields, categories, new classes and served predictions
    turn up late."""
    dice = random.Random(1)
    events = []
    for number in range(count):
        x: Features = {f"f{j}": dice.gauss(0, 1) for j in range(3)}
        if number > 300 and dice.random() < 0.02:
            x["f1"] = None
        if number > 450 and dice.random() < 0.02:
            x[f"new-{dice.randrange(3)}"] = dice.choice([1.5, True, "text"])
        if number == 620:
            x["f0"] = 10**400  # read from bytes as a number that is not finite
        known = labels[: 2 + number // 250]
        served = {"no": 0.25, "yes": 0.75} if labels[0] == "no" and number % 200 > 150 else None
        y = dice.choice(known)
        events.append(Event(f"e-{number}", x, y, weight=dice.choice([1.0, 2.5]), prediction=served))
    return events


def pages_of(entries: list[Entry], size: int) -> Iterator[list[Entry]]:
    return (entries[at : at + size] for at in range(0, len(entries), size))


@pytest.mark.parametrize("size", [37, AHEAD_MIN, 3 * BATCH_MAX, 1_000])
@pytest.mark.parametrize("spec", [BINARY, GROWING, NUMBER], ids=lambda spec: spec.task)
def test_pages_are_the_bits_of_single_entries(spec: ModelSpec, size: int) -> None:
    entries = entries_of(stream(LABELS[spec.task]))
    single, ahead = Fold(HedgeLearner(spec)), Fold(HedgeLearner(spec))
    for entry in entries:
        single.take(entry)
    ahead.take_pages(pages_of(entries, size))
    assert (ahead.version, ahead.chain) == (900, entries[-1].chain)
    assert ahead.to_bytes() == single.to_bytes()
    assert list(ahead.recent) == list(single.recent)


@pytest.mark.parametrize("count", [AHEAD_MIN + 3, 500])
def test_a_batch_that_is_not_learned_whole_is_gone_on_with_one_by_one(count: int) -> None:
    entries = entries_of(stream(["no", "yes"], count))
    single, ahead = Fold(HashLearner()), Fold(Halting())
    for entry in entries:
        single.take(entry)
    ahead.take_all(entries)
    assert ahead.to_bytes() == single.to_bytes()


def test_pages_are_fetched_while_the_last_ones_are_learned() -> None:
    threads, fetched_at, fold = set(), [], Fold(HedgeLearner(BINARY))

    class Watched(HedgeLearner):
        def prequential_batch(self, batch: Any) -> Predicted:
            threads.add(threading.current_thread())
            return super().prequential_batch(batch)

    fold = Fold(Watched(BINARY))

    def pages() -> Iterator[list[Entry]]:
        for page in pages_of(entries_of(stream(["no", "yes"], 400)), 100):
            fetched_at.append(fold.version)
            yield page

    fold.take_pages(pages())
    assert fold.version == 400 and fetched_at[:2] == [0, 1], (
        "the first event brings fields: it is taken alone"
    )
    assert threading.current_thread() not in threads


def test_few_entries_are_learned_in_the_callers_thread() -> None:
    fold = Fold(HedgeLearner(BINARY))
    fold.take_all(entries_of(stream(["no", "yes"], AHEAD_MIN - 1)))
    assert fold.version == AHEAD_MIN - 1 and fold._thread is None


@pytest.mark.parametrize("learner", [lambda: HedgeLearner(BINARY), Halting], ids=["network", "halting"])
def test_what_was_fetched_before_a_failure_is_learned_when_it_shows(learner: Any) -> None:
    entries = entries_of(stream(["no", "yes"], 600))
    single, ahead = Fold(learner()), Fold(learner())

    def pages() -> Iterator[list[Entry]]:
        yield from pages_of(entries[:450], 150)
        raise Unavailable("the log is away")

    with pytest.raises(Unavailable):
        ahead.take_pages(pages())
    for entry in entries[:450]:
        single.take(entry)
    assert ahead.version == 450 == ahead.learner.version
    assert ahead.learner.digest() == single.learner.digest()
    ahead.take_all(entries[450:])
    assert ahead.version == 600


def test_damage_is_found_at_its_version_while_others_are_learned() -> None:
    entries = entries_of(stream(["no", "yes"], 600))
    entries[420] = Entry(421, entries[420].chain, entries[3].payload)
    fold = Fold(HedgeLearner(BINARY))
    with pytest.raises(HistoryLost, match="expected version 421"):
        fold.take_pages(pages_of(entries, 200))
    assert (fold.version, fold.learner.version, fold.chain) == (420, 420, entries[419].chain)
    assert fold.scores.events == 420


def test_a_learner_that_fails_fails_the_call_and_nothing_goes_on_behind_it() -> None:
    class Failing(HedgeLearner):
        learning = 0

        def prequential_batch(self, batch: Any) -> Predicted:
            self.learning += 1
            if self.learning == 2:
                raise ArithmeticError("out of order")
            return super().prequential_batch(batch)

    fold = Fold(Failing(BINARY))
    with pytest.raises(ArithmeticError):
        fold.take_all(entries_of(stream(["no", "yes"], 600)))
    assert isinstance(fold.learner, Failing) and fold.learner.learning == 2


def test_the_thread_ends_with_its_fold() -> None:
    def take() -> list[threading.Thread]:
        fold: Fold | None = Fold(HedgeLearner(BINARY))
        assert fold is not None
        fold.take_all(entries_of(stream(["no", "yes"], 300)))
        return list(fold.thread._threads)

    for thread in take():
        thread.join(60)
        assert not thread.is_alive()


def test_learners_of_any_kind_may_be_told_nothing_was_prepared() -> None:
    learner: Learner = HashLearner()
    assert len(learner.prepare([({}, "no", 1.0)])) == 0
