"""Many entries at once are the same fold as one by one, scores included, whatever the entries hold."""

import math
import random
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import msgspec
import pytest
from hash_learner import HashLearner

from hedge_model import HedgeLearner, ModelSpec
from odl.control import Plan
from odl.errors import HistoryLost
from odl.event import Event, Features, Label, encode
from odl.fold import Fold
from odl.learner import Learner
from odl.log import CHAIN_START, Entry, next_chain

SPEC = ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=1, width=16)


class Greedy(HashLearner):
    """Takes events in batches, as long as it likes them."""

    def prepare(self, events: Iterable[tuple[Features, Label, float]]) -> Sequence[Any]:
        return list(takewhile(lambda event: "poison" not in event[0] and event[1] in ("no", "yes"), events))


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


# Events that carry the prediction that was served, and changes of labels


def served(number: int, prediction: object) -> Event:
    return Event(f"s-{number}", {"n": number}, "yes", version=1, prediction=prediction)  # type: ignore[arg-type]


def network_fold(events: list[Event], *, at_once: bool) -> Fold:
    fold, chain = Fold(HedgeLearner(SPEC)), CHAIN_START
    entries = []
    for version, event in enumerate(events, start=1):
        chain = next_chain(chain, encode(event))
        entries.append(Entry(version, chain, encode(event)))
    if at_once:
        fold.take_all(entries)
    else:
        for entry in entries:
            fold.take(entry)
    return fold


@pytest.mark.parametrize("at_once", [True, False])
def test_an_event_is_scored_by_the_prediction_that_was_served_for_it(at_once):
    events = [served(number, {"no": 0.75, "yes": 0.25}) for number in range(12)]
    scores = network_fold(events, at_once=at_once).scores.scores()
    assert scores.log_loss == pytest.approx(-math.log(0.25)) and scores.accuracy == 0.0
    plain = [msgspec.structs.replace(event, prediction=None) for event in events]
    assert network_fold(plain, at_once=at_once).scores.scores().log_loss != scores.log_loss


def test_what_was_served_changes_scores_and_never_what_is_learned():
    events = [served(number, {"no": 0.75, "yes": 0.25}) for number in range(12)]
    plain = [msgspec.structs.replace(event, prediction=None) for event in events]
    digests = {network_fold(each, at_once=True).learner.digest() for each in (events, plain)}
    assert len(digests) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_a_served_number_where_classes_are_learned_is_not_scored(at_once):
    events = [served(number, 0.5) for number in range(12)]
    scores = network_fold(events, at_once=at_once).scores.scores()
    assert scores.rmse is None and scores.events == 12


@pytest.mark.parametrize("at_once", [True, False])
def test_a_retraction_teaches_nothing_and_a_correction_is_an_event(at_once):
    events = [served(number, None) for number in range(8)]
    events[4:4] = [Event("s-0/r", {}, "yes", retracts=1)]
    events.append(Event("s-1/c1", {"n": 1}, "no", corrects=2))
    fold = network_fold(events, at_once=at_once)
    assert (fold.version, fold.skipped, fold.scores.events) == (10, 1, 9)


def test_bytes_of_events_without_the_new_fields_are_as_they_were():
    assert encode(Event("e", {"n": 1}, "yes", version=3)) == b'{"id":"e","version":3,"x":{"n":1},"y":"yes"}'
