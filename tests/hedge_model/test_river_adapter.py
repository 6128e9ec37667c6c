"""The adapters behave as river's own estimators do, and copies go on bit for bit."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from river import checks, compose, datasets, evaluate, metrics, preprocessing

from hedge_model.river_adapter import HedgeClassifier, HedgeRegressor

SMALL: dict[str, Any] = {"hidden_layers": 2, "width": 16}
MODELS = [HedgeClassifier(**SMALL), HedgeRegressor(**SMALL)]
CHECKS = [
    pytest.param(model, check, id=f"{type(model).__name__}-{check.__name__}-{number}")
    for model in MODELS
    for number, check in enumerate(checks.yield_checks(model))
]


@pytest.mark.parametrize(("model", "check"), CHECKS)
def test_river_checks_pass(model: Any, check: Callable[[Any], None]) -> None:
    check(model.clone())


def test_predictions_bear_the_labels_that_were_learned() -> None:
    model = HedgeClassifier(task="binary", **SMALL)
    assert model.predict_one({"a": 1.0}) is None
    for i in range(50):
        model.learn_one({"a": i % 2}, bool(i % 2))
    assert model.predict_one({"a": 1}) is True
    assert model.predict_one({"a": 0}) is False


def test_feature_names_may_be_any_hashable() -> None:
    model = HedgeRegressor(**SMALL)
    for i in range(100):
        model.learn_one({0: float(i % 7), ("b", 1): "x"}, i % 7)
    assert abs(model.predict_one({0: 3.0, ("b", 1): "x"}) - 3.0) < 1.0


def test_a_deep_copy_goes_on_bit_for_bit_and_alone() -> None:
    model = HedgeClassifier(**SMALL)
    events = list(datasets.ImageSegments().take(120))
    for x, y in events[:60]:
        model.learn_one(x, y)
    twin = copy.deepcopy(model)
    for x, y in events[60:]:
        assert model.predict_proba_one(x) == twin.predict_proba_one(x)
        model.learn_one(x, y)
        twin.learn_one(x, y)
    assert model.learner.digest() == twin.learner.digest()
    model.learn_one(*events[0])
    assert (model.learner.version, twin.learner.version) == (121, 120)


def test_a_clone_starts_afresh_with_the_same_settings() -> None:
    model = HedgeClassifier(seed=3, **SMALL)
    model.learn_one({"a": 1.0}, "yes")
    clone = model.clone()
    assert clone.learner.version == 0
    assert clone.learner.spec == model.learner.spec
    assert model.clone({"seed": 4}).learner.spec.seed == 4
    assert model.clone(include_attributes=True).learner.digest() == model.learner.digest()


def test_it_works_in_a_pipeline() -> None:
    model = compose.Select("age", "gender") | preprocessing.StandardScaler() | HedgeClassifier(**SMALL)
    stream = [({"age": i % 50, "gender": i % 2, "noise": i}, i % 50 > 25) for i in range(400)]
    assert evaluate.progressive_val_score(stream, model, metrics.Accuracy()).get() > 0.8


def test_settings_are_checked_when_made() -> None:
    with pytest.raises(ValueError, match="unknown model settings: depth"):
        HedgeClassifier(depth=3)
    with pytest.raises(ValueError, match="see HedgeRegressor"):
        HedgeClassifier(task="regression")
