"""The learner keeps its contract: predicting changes nothing, learning counts, bytes go on bit for bit."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge_model import HedgeLearner, ModelSpec
from odl.event import Features, Label
from odl.learner import Learner

SMALL = {"hidden_layers": 2, "width": 20, "hash_bits": 8}
SPECS = [
    ModelSpec(**SMALL),  # type: ignore[arg-type]
    ModelSpec(task="binary", classes=("no", "yes"), **SMALL),  # type: ignore[arg-type]
    ModelSpec(task="regression", **SMALL),  # type: ignore[arg-type]
    ModelSpec(preset="g16", hidden_layers=2, width=20, hash_bits=8),
    ModelSpec(preset="paper", hidden_layers=3, width=20, hash_bits=8),
    ModelSpec(hidden_layers=0, hash_bits=8),
    ModelSpec(preset="paper", task="regression", hidden_layers=2, width=20, hash_bits=8),
]


def events(spec: ModelSpec, count: int, seed: int = 0) -> Iterator[tuple[Features, Label]]:
    """Numbers, one missing at times, and a category that matters."""
    random = np.random.default_rng(seed)
    for a, b, c in random.standard_normal((count, 3)).tolist():
        x: Features = {"a": a, "b": None if c > 1 else b, "sign": "up" if c > 0 else "down"}
        target = a + (1.0 if c > 0 else -1.0)
        yield x, target if spec.task == "regression" else ("yes" if target > 0 else "no")


@pytest.fixture(params=SPECS, ids=lambda spec: f"{spec.task}-{spec.preset}-{spec.hidden_layers}")
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    made: ModelSpec = request.param
    return made


def trained(spec: ModelSpec, count: int = 60) -> HedgeLearner:
    learner = HedgeLearner(spec)
    for x, y in events(spec, count):
        learner.learn_one(x, y)
    return learner


def test_it_is_a_learner_of_the_core(spec: ModelSpec) -> None:
    learner: Learner = HedgeLearner(spec)
    assert learner.version == 0
    assert learner.schema is spec


def test_predicting_changes_nothing(spec: ModelSpec) -> None:
    learner = trained(spec)
    before = learner.digest()
    for x, _ in events(spec, 10, seed=1):
        learner.predict_one(x)
        learner.predict_depths_one({**x, "never seen": 3, "nor this": "z"} if spec.fields is None else x)
    assert learner.digest() == before


def test_prequential_is_predict_then_learn_bit_for_bit(spec: ModelSpec) -> None:
    one, other = HedgeLearner(spec), HedgeLearner(spec)
    for x, y in events(spec, 60):
        predicted = one.predict_one(x)
        one.learn_one(x, y, 2.0)
        assert other.prequential_one(x, y, 2.0) == predicted
    assert one.digest() == other.digest()


def test_bytes_go_on_bit_for_bit(spec: ModelSpec) -> None:
    learner = trained(spec)
    copy = HedgeLearner.from_bytes(learner.to_bytes())
    assert copy.digest() == learner.digest()
    assert (copy.version, copy.fold_id, copy.spec) == (60, learner.fold_id, spec)
    for x, y in events(spec, 40, seed=2):
        assert copy.prequential_one(x, y) == learner.prequential_one(x, y)
    assert copy.digest() == learner.digest()


def test_damage_is_found_wherever_it_is() -> None:
    data = trained(SPECS[0], 20).to_bytes()
    for at in range(0, len(data), max(len(data) // 500, 1)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ValueError, match="learner"):
            HedgeLearner.from_bytes(bytes(damaged))
    for length in (0, 5, 19, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="learner"):
            HedgeLearner.from_bytes(data[:length])
    with pytest.raises(ValueError, match="learner"):
        HedgeLearner.from_bytes(data + b"\0")


def test_it_learns(spec: ModelSpec) -> None:
    learner = trained(spec, 1_500)
    good = 0
    for x, y in events(spec, 300, seed=3):
        predicted = learner.predict_one(x)
        if isinstance(predicted, dict):
            good += max(predicted, key=lambda name: predicted[name]) == y
        else:
            good += abs(predicted - float(y)) < 1.0
    assert good > 240


def test_probabilities_sum_to_one_and_depths_mix_into_them_where_they_are_alone() -> None:
    learner = trained(ModelSpec(task="binary", classes=("no", "yes"), preset="g16", width=20))
    x = {"a": 0.5, "sign": "up"}
    probabilities = learner.predict_proba_one(x)
    assert list(probabilities) == ["no", "yes"]
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-6)
    mixed = np.array(learner.depth_weights()) @ learner.predict_depths_one(x)
    assert mixed.tolist() == pytest.approx(list(probabilities.values()), abs=1e-6)
    assert sum(learner.depth_weights()) == pytest.approx(1.0, abs=1e-6)


def test_skipping_moves_only_the_version(spec: ModelSpec) -> None:
    learner, copy = trained(spec), trained(spec)
    learner.skip_one()
    assert learner.version == 61
    x, y = next(events(spec, 1, seed=4))
    assert learner.prequential_one(x, y) == copy.prequential_one(x, y)


def test_another_spec_is_another_fold() -> None:
    assert HedgeLearner(ModelSpec(seed=1)).fold_id != HedgeLearner(ModelSpec(seed=2)).fold_id


def test_classes_grow_with_the_stream_at_the_same_version_everywhere() -> None:
    spec = ModelSpec(hidden_layers=2, width=20)
    learner = HedgeLearner(spec)
    assert learner.predict_proba_one({"f": 1.0}) == {}
    assert learner.prequential_one({"f": 1.0}, "a") == {}
    assert learner.predict_proba_one({"f": 1.0}) == {"a": pytest.approx(1.0)}
    for number in range(40):
        label = f"class {number * 7 % 20}"
        predicted = learner.prequential_one({"f": float(number)}, label)
        assert isinstance(predicted, dict)
        assert (label in predicted) == (number >= 20)
    copy = HedgeLearner.from_bytes(learner.to_bytes())
    assert copy.classes == learner.classes
    assert len(learner.classes) == 21


def test_declared_classes_can_grow_too_if_asked_to() -> None:
    learner = HedgeLearner(ModelSpec(classes=("a", "b"), grow_classes=True, hidden_layers=1, width=8))
    learner.learn_one({"f": 1.0, "city": "Rome"}, "c")
    assert learner.classes == ("a", "b", "c")


def test_a_class_too_many_is_refused_and_changes_nothing() -> None:
    learner = HedgeLearner(ModelSpec(task="binary", hidden_layers=1, width=8))
    for label in ("a", "b"):
        learner.learn_one({"f": 1.0}, label)
    before = learner.digest()
    with pytest.raises(ValueError, match="at most 2 classes for task 'binary'"):
        learner.learn_one({"f": 1.0}, "c")
    assert learner.digest() == before


def test_a_wrong_label_or_weight_is_refused_and_changes_nothing(spec: ModelSpec) -> None:
    learner = trained(spec, 5)
    before = learner.digest()
    for y, weight in (([], 1.0), (None, 1.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="label"):
            learner.learn_one({"a": 1.0}, y, weight)  # type: ignore[arg-type]
    _, y = next(events(spec, 1))
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a finite weight above 0"):
            learner.learn_one({"a": 1.0}, y, weight)
    assert learner.digest() == before


def test_an_update_that_is_not_finite_is_a_counted_no_op(spec: ModelSpec) -> None:
    learner, copy = trained(spec), trained(spec)
    x, y = next(events(spec, 1, seed=5))
    learner.learn_one(x, y, 1e38)
    assert (learner.version, learner.updates_not_finite) == (61, 1)
    assert all(
        (a == b).all() for a, b in zip(learner.weights().values(), copy.weights().values(), strict=True)
    )
    for x, y in events(spec, 20, seed=6):
        assert learner.prequential_one(x, y) == copy.prequential_one(x, y)


def test_a_regression_predicts_in_the_units_of_its_label() -> None:
    learner = HedgeLearner(ModelSpec(task="regression", hidden_layers=2, width=20))
    with pytest.raises(ValueError, match="call predict_one"):
        learner.predict_proba_one({"f": 1.0})
    random = np.random.default_rng(0)
    for f in random.standard_normal(2_000).tolist():
        learner.learn_one({"f": f}, 1e6 + 1e3 * f)
    found = learner.predict_one({"f": 1.0})
    assert isinstance(found, float)
    assert found == pytest.approx(1e6 + 1e3, abs=150)


def test_a_table_of_categories_is_stored_by_its_touched_rows() -> None:
    learner = HedgeLearner(ModelSpec(classes=("a", "b"), width=64, hidden_layers=2, hash_bits=20))
    for number in range(50):
        learner.learn_one({"city": str(number)}, "a")
    learner.predict_one({"city": "never learned"})
    assert len(learner.to_bytes()) < 100_000
    copy = HedgeLearner.from_bytes(learner.to_bytes())
    assert copy.digest() == learner.digest()
    assert copy.predict_one({"city": "never learned"}) == learner.predict_one({"city": "never learned"})


def test_the_repr_says_what_it_is() -> None:
    learner = trained(SPECS[1])
    assert repr(learner) == (
        "HedgeLearner(binary, version 60: 2 numbers and 1 categories to 2 classes, 2 hidden layers of 20, "
        "preset default)"
    )


number = st.floats(allow_nan=False, allow_infinity=False)
value = st.one_of(number, st.integers(-(10**9), 10**9), st.text(max_size=3), st.booleans(), st.none())
event = st.tuples(
    st.dictionaries(st.sampled_from("abcd"), value, max_size=4),
    st.sampled_from(["x", "y", "z"]),
    st.floats(min_value=1e-30, max_value=1e30),
)


@settings(max_examples=60, deadline=None)
@given(stream=st.lists(event, max_size=12), preset=st.sampled_from(["default", "g16", "paper"]))
def test_whatever_comes_the_weights_stay_finite(
    stream: list[tuple[Features, str, float]], preset: str
) -> None:
    spec = ModelSpec(hidden_layers=2, width=8, hash_bits=4, preset=preset)  # type: ignore[arg-type]
    learner = HedgeLearner(spec)
    for x, y, weight in stream:
        predicted = learner.prequential_one(x, y, weight)
        assert isinstance(predicted, dict)
        assert not predicted or sum(predicted.values()) == pytest.approx(1.0, abs=1e-5)
    shares = learner.depth_weights()
    floor = spec.s / 3 / ((1 + spec.s) if preset == "paper" else 1)
    assert sum(shares) == pytest.approx(1.0, abs=1e-6)
    assert min(shares) >= floor * (1 - 1e-5)
    assert all(np.isfinite(array).all() for array in learner.weights().values())
    assert learner.version == len(stream)
    assert HedgeLearner.from_bytes(learner.to_bytes()).digest() == learner.digest()


@settings(max_examples=30, deadline=None)
@given(stream=st.lists(st.tuples(number, number), min_size=1, max_size=20))
def test_a_regression_on_any_scale_stays_finite(stream: list[tuple[float, float]]) -> None:
    learner = HedgeLearner(ModelSpec(task="regression", hidden_layers=2, width=8))
    for f, y in stream:
        predicted = learner.prequential_one({"f": f}, y)
        assert isinstance(predicted, float)
        assert math.isfinite(predicted)


@pytest.mark.parametrize("x", [[1.0], None, "a"])
def test_features_that_are_no_mapping_are_refused(x: object) -> None:
    learner = HedgeLearner(ModelSpec(hidden_layers=1, width=8))
    with pytest.raises(ValueError, match="expected features as a mapping"):
        learner.learn_one(x, "yes")  # type: ignore[arg-type]  # what a user may try
    assert learner.version == 0


def test_a_learner_of_anything_but_a_spec_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a ModelSpec, received str"):
        HedgeLearner("binary")  # type: ignore[arg-type]  # what a user may try


def test_a_learner_tells_the_fields_it_knows() -> None:
    learner = HedgeLearner(ModelSpec(hidden_layers=1, width=8))
    learner.learn_one({"age": 31, "city": "Rome", "open": True}, "yes")
    learner = HedgeLearner.from_bytes(learner.to_bytes())
    assert learner.fields == {"age": "number", "city": "category", "open": "category"}
