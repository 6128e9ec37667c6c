"""Events in batches are the same fold as one by one, to the bit, whatever the events bring."""

import random
from typing import Any

import pytest

from hedge_model import HedgeLearner, ModelSpec

Example = tuple[dict[str, Any], Any, float]

TASKS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"task": "binary", "classes": ("a", "b")}, ["a", "b"]),
    ({"task": "multiclass"}, ["a", "a", "b", "c", 7, True]),
    ({"task": "regression"}, [0.5, -2.0, 3]),
]


def messy(labels: list[Any], count: int = 600) -> list[Example]:
    """Events with missing and new fields, categories, weights, and some that no learner takes."""
    dice = random.Random(3)
    events: list[Example] = []
    for number in range(count):
        x: dict[str, Any] = {f"f{j}": dice.gauss(0, 1) for j in range(4)}
        if dice.random() < 0.1:
            x["f3"] = None
        if dice.random() < 0.7:
            x["city"] = dice.choice(["Rome", "Oslo", "Paris"])
        if dice.random() < 0.02:
            x[f"new-{dice.randrange(5)}"] = dice.choice([1.5, True, "text"])
        if dice.random() < 0.03:
            x["f0"] = dice.choice([float("nan"), float("inf"), 10**400, 1e300])
        y = float("nan") if dice.random() < 0.01 else labels[dice.randrange(2 + number // 100) % len(labels)]
        events.append((x, y, dice.choice([1.0, 2.0, 0.5, 0.0 if number % 50 == 0 else 1.0])))
    return events


@pytest.mark.parametrize(("settings", "labels"), TASKS)
def test_batches_learn_and_predict_the_bits_of_single_events(
    settings: dict[str, Any], labels: list[Any]
) -> None:
    spec = ModelSpec(hidden_layers=2, width=32, **settings)
    single, batched = HedgeLearner(spec), HedgeLearner(spec)
    events = messy(labels)
    expected, found = [], []
    for event in events:
        expected.append(one(single, event))
    in_batches = at = 0
    while at < len(events):
        predictions = learned(batched, events[at : at + 64])
        found += predictions
        in_batches += len(predictions)
        at += len(predictions)
        if at < len(events):
            found.append(one(batched, events[at]))
            at += 1
    assert found == expected
    assert batched.digest() == single.digest()
    assert None in expected
    assert in_batches > len(events) // 2


def learned(learner: HedgeLearner, events: list[Example]) -> list[Any]:
    """The predictions before learning of the events that are learned at once."""
    classes, rows = learner.prequential_batch(learner.prepare(events))
    return [dict(zip(classes, row, strict=True)) if classes else row[0] for row in rows.tolist()]


def one(learner: HedgeLearner, event: Example) -> Any:
    """The prediction before learning; None for an event that is refused and passed."""
    before = learner.version
    try:
        return learner.prequential_one(*event)
    except ValueError:
        assert learner.version == before
        learner.skip_one()
        return None


def test_nothing_at_all_is_a_batch() -> None:
    learner = HedgeLearner(ModelSpec(task="binary", classes=("a", "b"), hidden_layers=1, width=16))
    assert learned(learner, []) == []
    assert learned(learner, [({"new": 1.0}, "a", 1.0)]) == []
    assert learner.version == 0
