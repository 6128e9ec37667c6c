"""The dense inputs are running z-scores and ramps that include the event; predicting stores nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hedge_model import HedgeLearner, ModelSpec


def _z(values: npt.NDArray[np.float64]) -> float:
    spread = values.std()
    return float(np.clip((values[-1] - values.mean()) / spread, -10, 10)) if spread > 1e-8 else 0.0


def _ramps(z: float) -> list[float]:
    knots = np.linspace(-2.5, 2.5, 17)
    return [
        float(np.clip((z - low) / (high - low), 0, 1)) for low, high in zip(knots, knots[1:], strict=False)
    ]


def _learner(**settings: Any) -> HedgeLearner:
    return HedgeLearner(ModelSpec(classes=("a", "b"), hidden_layers=1, width=8, **settings))


def test_inputs_are_z_scores_of_z_scores_and_of_ramps() -> None:
    stream = np.random.default_rng(3).gamma(2.0, 3.0, 60)
    learner, scores = _learner(), []
    for at, value in enumerate(stream):
        learner.learn_one({"f": value}, "a")
        scores.append([_z(stream[: at + 1])])
        scores[-1] += _ramps(scores[-1][0])
    value = 4.5
    scores.append([_z(np.append(stream, value))])
    scores[-1] += _ramps(scores[-1][0])
    expected = [_z(np.array(column)) for column in zip(*scores, strict=True)]
    assert learner.inputs_one({"f": value}) == pytest.approx(expected, abs=2e-4)


def test_the_paper_has_plain_z_scores() -> None:
    stream = np.random.default_rng(4).standard_normal(50)
    learner = _learner(preset="paper")
    for value in stream:
        learner.learn_one({"f": value}, "a")
    assert learner.inputs_one({"f": 2.0}) == pytest.approx([_z(np.append(stream, 2.0))], abs=1e-6)


def test_predicting_changes_no_moments() -> None:
    learner = _learner()
    learner.learn_one({"f": 1.0}, "a")
    before = learner.digest()
    for value in (1e9, -5.0, None):
        learner.predict_one({"f": value})
    assert learner.digest() == before


def test_a_missing_number_is_zero_with_an_indicator_from_its_first_time_on() -> None:
    learner = _learner(ramps=0)
    for value in (1.0, 2.0):
        learner.learn_one({"f": value}, "a")
    assert learner.inputs_one({"f": None}).tolist() == [0.0]
    learner.learn_one({"f": None}, "a")
    assert learner.inputs_one({}).tolist() == [0.0, 1.0]
    assert learner.inputs_one({"f": 3.0}).tolist() == [pytest.approx(1.2247449), 0.0]


def test_a_missing_number_does_not_count_in_the_moments() -> None:
    one, other = _learner(ramps=0), _learner(ramps=0)
    for value in (1.0, None, 5.0, None):
        one.learn_one({"f": value}, "a")
    for value in (1.0, 5.0):
        other.learn_one({"f": value}, "a")
    assert one.inputs_one({"f": 2.0})[0] == other.inputs_one({"f": 2.0})[0]


def test_many_fields_have_no_ramps() -> None:
    learner = _learner()
    learner.learn_one({str(f): float(f) for f in range(75)}, "a")
    assert learner.inputs_one({}).size == 75 * 17
    learner.learn_one({"late": 1.0, **{str(f): float(f) for f in range(75)}}, "a")
    assert learner.inputs_one({}).size == 75 * 17 + 1


@pytest.mark.parametrize("ramps", [1, 7, 16])
def test_any_number_of_ramps_fills_its_own_columns(ramps: int) -> None:
    learner = _learner(ramps=ramps)
    for value in np.random.default_rng(0).standard_normal((30, 2)):
        learner.learn_one({"f": value[0], "g": value[1]}, "a")
    inputs = learner.inputs_one({"f": -1.0, "g": None})
    assert inputs.size == 2 * (ramps + 1)
    assert (inputs[: ramps + 1] != 0).any()
    assert (inputs[ramps + 1 :] == 0).all()


@pytest.mark.parametrize("scale", [1e-290, 1e-30, 1e-6, 1.0, 1e6, 1e30, 1e60])
def test_inputs_do_not_depend_on_the_unit_of_a_number(scale: float) -> None:
    stream = np.random.default_rng(5).standard_normal(40)
    one, other = _learner(ramps=0), _learner(ramps=0)
    for value in stream:
        one.learn_one({"f": value}, "a")
        other.learn_one({"f": value * scale}, "a")
    expected = one.inputs_one({"f": 0.3}) if scale > 1e-200 else [0.0]  # below that, all is rounding
    assert other.inputs_one({"f": 0.3 * scale}) == pytest.approx(expected, rel=1e-5)


def test_a_constant_is_zero_however_large() -> None:
    learner = _learner(ramps=0)
    for _ in range(1_000):
        learner.learn_one({"f": 1e15 / 3}, "a")
    assert learner.inputs_one({"f": 1e15 / 3}).tolist() == [0.0]
