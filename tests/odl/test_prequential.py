"""Prequential scores against scikit-learn's and against definitions."""

import math
import random
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from odl.prequential import PROBABILITY_MIN, Prequential, auc


@dataclass(frozen=True)
class Scored:
    p: float
    late: bool
    weight: float


def stream(n: int, seed: int, rare: float = 1.0) -> list[Scored]:
    dice = random.Random(seed)
    scored = []
    for _ in range(n):
        p = dice.random() * rare
        scored.append(Scored(p, dice.random() < p, dice.choice([1.0, 1.0, 2.5])))
    return scored


def fill(scored: list[Scored]) -> Prequential:
    scores = Prequential()
    for s in scored:
        scores.update({"ok": 1 - s.p, "late": s.p}, "late" if s.late else "ok", s.weight)
    return scores


def test_accuracy_log_loss_and_auc_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    scored = stream(3_000, 1)
    p, late = np.array([s.p for s in scored]), np.array([s.late for s in scored])
    weight = np.array([s.weight for s in scored])
    scores = fill(scored)
    found = scores.scores()
    assert found.accuracy == pytest.approx(metrics.accuracy_score(late, p > 0.5, sample_weight=weight))
    assert found.log_loss == pytest.approx(metrics.log_loss(late, p, sample_weight=weight))
    exact = metrics.roc_auc_score(late, p, sample_weight=weight)
    assert found.auc is not None and abs(found.auc - exact) <= scores.auc_error_max() < 0.005
    assert auc(list(p), list(late)) == pytest.approx(metrics.roc_auc_score(late, p))


def test_a_rare_class_keeps_its_resolution():
    scored = [Scored(s.p, s.late, 1.0) for s in stream(20_000, 2, rare=0.01)]
    scores = fill(scored)
    exact = auc([s.p for s in scored], [s.late for s in scored])
    found = scores.auc()
    assert found is not None and abs(found - exact) <= scores.auc_error_max() < 0.01


def test_the_exact_auc_takes_ties_as_half():
    assert auc([0.5, 0.5], [True, False]) == 0.5
    assert auc([0, 1, 1, 2], [False, True, False, True]) == 0.875
    with pytest.raises(ValueError, match="both classes, received 2 positive and 0 negative"):
        auc([0.1, 0.2], [True, True])


def test_the_base_rate_knows_only_what_came_before():
    scores = Prequential()
    for y in ["a", "a", "b"]:
        scores.update({"a": 0.5, "b": 0.5}, y)
    expected = -(math.log(1 / 2) + math.log(2 / 3) + math.log(1 / 4)) / 3
    assert scores.scores().base_rate_log_loss == pytest.approx(expected)


def test_a_certain_wrong_prediction_costs_much_but_not_infinity():
    scores = Prequential()
    scores.update({"a": 1.0, "b": 0.0}, "b")
    assert scores.scores().log_loss == pytest.approx(-math.log(PROBABILITY_MIN))


def test_an_undecided_prediction_is_right_for_one_class_only():
    scores = Prequential()
    scores.update({"a": 0.5, "b": 0.5}, "a")
    scores.update({"a": 0.5, "b": 0.5}, "b")
    assert scores.scores().accuracy == 0.5


def test_more_than_two_classes_have_no_auc_and_new_classes_are_scored():
    scores = Prequential()
    scores.update({"a": 0.6, "b": 0.4}, "a")
    scores.update({"a": 0.6, "b": 0.4}, "c")
    scores.update({"a": 0.2, "b": 0.2, "c": 0.6}, "c")
    found = scores.scores()
    assert found.auc is None and found.accuracy == pytest.approx(2 / 3)
    assert found.base_rate_log_loss == pytest.approx(-sum(map(math.log, [1 / 2, 1 / 3, 2 / 5])) / 3)


@pytest.mark.parametrize("y", [1, 1.0, True])
def test_a_number_names_its_class(y: float):
    scores = Prequential()
    scores.update({"0": 0.1, "1": 0.9}, y)
    assert scores.scores().accuracy == 1.0


def test_regression_has_errors_instead():
    scores = Prequential()
    for prediction, y, weight in [(1.0, 2.0, 1.0), (0.0, -3.0, 3.0)]:
        scores.update(prediction, y, weight)
    found = scores.scores()
    assert (found.events, found.mae, found.rmse) == (2, 2.5, pytest.approx(math.sqrt(7)))
    assert (found.accuracy, found.log_loss, found.auc) == (None, None, None)


def test_nothing_scored_has_no_scores():
    assert Prequential().scores().accuracy is None


def test_scores_go_on_from_their_bytes():
    scored = stream(500, 3)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(fill(scored[:200])), type=Prequential)
    for s in scored[200:]:
        kept.update({"ok": 1 - s.p, "late": s.p}, "late" if s.late else "ok", s.weight)
    assert kept == fill(scored)


def test_two_scorers_share_nothing():
    fill(stream(10, 4))
    assert Prequential() == Prequential(label_weights={}, positive_bins=[], negative_bins=[])


# Many events at once


def predicted(classes: int, count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).random((count, classes)) + 1e-3
    rows /= rows.sum(axis=1, keepdims=True)
    if classes:
        rows[:6] = np.eye(classes)[0]  # certain: beyond the outermost bins, and never infinite
    return rows


@pytest.mark.parametrize("classes", [("no", "yes"), ("0", "1"), ("a", "b", "c"), ("only",)])
def test_many_at_once_are_the_bits_of_one_by_one(classes: tuple[str, ...]) -> None:
    dice, count = random.Random(4), 500
    rows = predicted(len(classes), count, 7)
    spellings = {"0": ["0", 0, False], "1": ["1", 1, True, 1.0]}
    labels = [dice.choice(spellings.get(name, [name])) for name in dice.choices(classes, k=count)]
    weights = [dice.choice([1.0, 0.1, 2.5]) for _ in range(count)]
    one, many = Prequential(), Prequential()
    for row, label, weight in zip(rows.tolist(), labels, weights, strict=True):
        one.update(dict(zip(classes, row, strict=True)), label, weight)
    for at in range(0, count, 77):
        part = slice(at, at + 77)
        many.update_many(classes, rows[part], labels[part], weights[part])
    assert msgspec.msgpack.encode(many) == msgspec.msgpack.encode(one)


def test_many_numbers_at_once_are_the_bits_of_one_by_one() -> None:
    dice = random.Random(5)
    found, wanted = [dice.gauss(0, 1) for _ in range(300)], [dice.choice([1, 0.3, 2**60]) for _ in range(300)]
    weights = [dice.choice([1.0, 0.1]) for _ in range(300)]
    one, many = Prequential(), Prequential()
    for number, label, weight in zip(found, wanted, weights, strict=True):
        one.update(number, label, weight)
    many.update_many((), np.array(found)[:, None], wanted, weights)
    assert msgspec.msgpack.encode(many) == msgspec.msgpack.encode(one)


@pytest.mark.parametrize(
    "before", [{"x": 0.5, "no": 0.5}, {"no": 0.4, "x": 0.6}, {"a": 0.1, "b": 0.2, "c": 0.7}]
)
@pytest.mark.parametrize("label", ["x", "no", "c"])
def test_many_at_once_after_predictions_of_other_classes(before: dict[str, float], label: str) -> None:
    rows, labels = predicted(2, 50, 8), ["no", "yes"] * 25
    one, many = Prequential(), Prequential()
    for scores in (one, many):
        scores.update(before, label)
    for row, y in zip(rows.tolist(), labels, strict=True):
        one.update({"no": row[0], "yes": row[1]}, y)
    many.update_many(("no", "yes"), rows, labels, [1.0] * 50)
    assert msgspec.msgpack.encode(many) == msgspec.msgpack.encode(one)


def test_many_may_be_none() -> None:
    scores = Prequential()
    scores.update_many(("a", "b"), np.zeros((0, 2)), [], [])
    assert scores == Prequential()
