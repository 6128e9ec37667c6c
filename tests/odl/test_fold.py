"""Many entries at once are the same fold as one by one, scores included, whatever the entries hold."""

import random
from collections.abc import Iterable

import pytest
from hash_learner import HashLearner

from hedge_model import HedgeLearner, ModelSpec
from odl.control import Plan
from odl.errors import HistoryLost
from odl.event import Event, Features, Label, Prediction, encode
from odl.fold import Fold
from odl.learner import Learner
from odl.log import CHAIN_START, Entry, next_chain

SPEC = ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=1, width=16)


class Greedy(HashLearner):
    """Takes events in batches, as long as it likes them."""

    def prequential_batch(self, events: Iterable[tuple[Features, Label, float]]) -> list[Prediction]:
        predictions = []
        for x, y, weight in events:
            if "poison" in x or y not in ("no", "yes"):
                break
            predictions.append(self.prequential_one(x, y, weight))
        return predictions


def log_of(payloads: Iterable[bytes]) -> list[Entry]:
    """A log that holds these payloads."""
    entries, chain = [], CHAIN_START
    for number, payload in enumerate(payloads):
        chain = next_chain(chain, payload)
        entries.append(Entry(number + 1, chain, payload))
    return entries


def mixed_payloads(count: int = 200) -> list[bytes]:
    """Good events, refused ones, and bytes that are no events."""
    dice = random.Random(5)
    payloads = []
    for number in range(count):
        x: Features = {"a": dice.gauss(0, 1), "b": dice.choice(["x", "y"])}
        if dice.random() < 0.05:
            x["poison"] = 1
        y = "no" if dice.random() < 0.5 else "yes" if dice.random() < 0.9 else "perhaps"
        event = Event(f"e-{number}", x, y, weight=dice.choice([1.0, 2.5]), source=dice.choice(["s:1", "s:2"]))
        payloads.append(dice.choice([b"\xff{", b'{"control":1}']) if dice.random() < 0.1 else encode(event))
    return payloads


@pytest.mark.parametrize("plan", [Plan(), Plan(without=("s:2",)), Plan(left_out=((3, 9), (60, 140)))])
@pytest.mark.parametrize("new_learner", [HashLearner, Greedy, lambda: HedgeLearner(SPEC)])
def test_taking_all_is_taking_one_by_one(new_learner: type[Learner], plan: Plan) -> None:
    entries = log_of(mixed_payloads())
    single, many = Fold(new_learner(), plan=plan), Fold(new_learner(), plan=plan)
    for entry in entries:
        single.take(entry)
    for start in range(0, len(entries), 37):
        many.take_all(entries[start : start + 37])
    assert (many.version, many.chain, many.skipped) == (single.version, single.chain, single.skipped)
    assert many.to_bytes() == single.to_bytes()
    assert many.skipped > 10


@pytest.mark.parametrize("new_learner", [HashLearner, Greedy, lambda: HedgeLearner(SPEC)])
def test_a_damaged_entry_is_found_at_its_version_and_what_came_before_is_learned(
    new_learner: type[Learner],
) -> None:
    good = [encode(Event(f"e-{n}", {"a": n / 7}, ("no", "yes")[n % 2])) for n in range(30)]
    entries = log_of(good)
    entries[17] = Entry(18, entries[17].chain, good[3])
    fold = Fold(new_learner())
    with pytest.raises(HistoryLost, match="expected version 18"):
        fold.take_all(entries)
    assert (fold.version, fold.chain) == (17, entries[16].chain)
    assert fold.learner.version == 17
    assert fold.scores.events == 17
