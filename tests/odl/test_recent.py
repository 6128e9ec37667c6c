"""Scores of late are the scores of exactly those events, whatever the task, and start anew when they must."""

import random

import pytest

from odl.prequential import Prequential
from odl.recent import HALF_LIFE, SLICES, Recent, Sums


def binary(rng: random.Random, n: int, skill: float) -> list[tuple[dict[str, float], str]]:
    events = []
    for _ in range(n):
        p = rng.random()
        label = "yes" if rng.random() < (p if rng.random() < skill else 1 - p) else "no"
        events.append(({"no": 1 - p, "yes": p}, label))
    return events


def test_a_window_scores_the_last_events_and_no_others() -> None:
    rng = random.Random(1)
    events = binary(rng, 3_000, 0.2) + binary(rng, 1_000, 1.0)
    running, recent = Prequential(), Recent(window=1_000)
    recent.sample(Sums.of(running))
    for prediction, label in events:
        running.update(prediction, label)
        recent.sample(Sums.of(running))
    found, alone = recent.window(), Prequential()
    assert 1_000 <= found.events <= 1_000 * (1 + 2 / SLICES)
    for prediction, label in events[-int(found.events) :]:
        alone.update(prediction, label)
    expected = alone.scores()
    assert found.accuracy == pytest.approx(expected.accuracy)
    assert found.log_loss == pytest.approx(expected.log_loss)
    assert found.auc == pytest.approx(expected.auc)


def test_samples_far_apart_make_the_window_longer_not_wrong() -> None:
    rng, running, recent = random.Random(2), Prequential(), Recent(window=100)
    for _ in range(4):
        for prediction, label in binary(rng, 700, 1.0):
            running.update(prediction, label)
        recent.sample(Sums.of(running))
    assert recent.window().events == 700


def test_fading_forgets_by_half_lives() -> None:
    running, recent = Prequential(), Recent()
    recent.sample(Sums.of(running))
    for right in (True, False):
        for _ in range(HALF_LIFE):
            running.update({"a": 0.9, "b": 0.1}, "a" if right else "b")
        recent.sample(Sums.of(running))
    assert recent.faded().accuracy == pytest.approx(1 / 3)  # what is half as old counts twice


def test_calibration_is_the_distance_of_what_was_said_and_what_happened() -> None:
    honest, boasting = Prequential(), Prequential()
    for number in range(1_000):
        label = "yes" if number % 10 < 7 else "no"
        honest.update({"no": 0.3, "yes": 0.7}, label)
        boasting.update({"no": 0.05, "yes": 0.95}, label)
    errors = [Sums.of(scores).scores().calibration_error for scores in (honest, boasting)]
    assert errors == [pytest.approx(0.0, abs=0.01), pytest.approx(0.25, abs=0.01)]


def test_another_fold_begins_a_new_window() -> None:
    rng, recent = random.Random(3), Recent(window=100)
    first, second = Prequential(), Prequential()
    for prediction, label in binary(rng, 500, 1.0):
        first.update(prediction, label)
    recent.sample(Sums.of(first))
    recent.sample(Sums.of(second))  # a rollback: fewer events than before
    assert recent.window().events == 0 and recent.faded().events == 0
    second.update({"no": 0.1, "yes": 0.9}, "yes")
    recent.sample(Sums.of(second))
    assert recent.window().accuracy == 1.0


def test_regressions_have_errors_and_no_classes() -> None:
    running, recent = Prequential(), Recent()
    recent.sample(Sums.of(running))
    for y in (1.0, 2.0, 3.0):
        running.update(2.0, y)
    recent.sample(Sums.of(running))
    assert set(recent.window().known()) == {"events", "mae", "rmse"}
    assert recent.window().mae == pytest.approx(2 / 3)


def test_three_classes_have_no_curve() -> None:
    running = Prequential()
    for label in "abc":
        running.update({"a": 0.5, "b": 0.3, "c": 0.2}, label)
    found = Sums.of(running).scores()
    assert found.accuracy == pytest.approx(1 / 3) and found.auc is found.calibration_error is None
