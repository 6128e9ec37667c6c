"""Strings become rows that are the same in every process; everything that is not allowed is refused."""

import numpy as np
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.encoder import ROWS_CACHED_MAX, Encoder, hashed

DECLARED = ModelSpec(
    classes=("a", "b"),
    fields={"age": "number", "city": "category", "sky": "category"},
    crosses=(("city", "sky"),),
)


def _rows(spec: ModelSpec, x: dict[str, object]) -> list[int]:
    return HedgeLearner(spec).rows_one(x)  # type: ignore[arg-type]


def test_a_category_is_hashed_with_its_field() -> None:
    rows = _rows(DECLARED, {"city": "Rome", "sky": "blue"})
    assert rows == [
        hashed(["city"], ["Rome"], 16),
        hashed(["sky"], ["blue"], 16),
        hashed(["city", "sky"], ["Rome", "blue"], 16),
    ]
    assert hashed(["city"], ["blue"], 16) != hashed(["sky"], ["blue"], 16)


def test_rows_do_not_depend_on_the_order_of_the_names() -> None:
    spec = ModelSpec(classes=("a", "b"))
    assert _rows(spec, {"b": "x", "a": "y"}) == _rows(spec, {"a": "y", "b": "x"})


def test_a_missing_category_has_a_row_of_its_own() -> None:
    absent, none = _rows(DECLARED, {"city": "Rome"}), _rows(DECLARED, {"city": "Rome", "sky": None})
    assert absent == none
    assert absent[1] == hashed(["sky"], [None], 16) != hashed(["sky"], [""], 16)


def test_numbers_are_categories_where_that_is_declared() -> None:
    seven = _rows(DECLARED, {"city": "7"})
    assert _rows(DECLARED, {"city": 7}) == _rows(DECLARED, {"city": 7.0}) == seven
    assert _rows(DECLARED, {"city": True}) == _rows(DECLARED, {"city": "true"})


def test_kinds_are_learned_from_the_stream() -> None:
    learner = HedgeLearner(ModelSpec(classes=("a", "b"), hidden_layers=1, width=8))
    learner.learn_one({"age": 3, "city": "Rome", "wet": True, "nothing": None}, "a")
    assert learner.inputs_one({"age": 3}).size == 17
    assert learner.rows_one({"age": 3}) == [hashed(["city"], [None], 16), hashed(["wet"], [None], 16)]


def test_a_string_in_a_number_field_is_a_category_and_a_missing_number() -> None:
    learner = HedgeLearner(ModelSpec(classes=("a", "b"), hidden_layers=1, width=8, ramps=0))
    learner.learn_one({"age": 3}, "a")
    learner.learn_one({"age": "unknown"}, "a")
    assert learner.inputs_one({"age": "unknown"}).tolist() == [0.0, 1.0]
    assert learner.rows_one({"age": "unknown"}) == [hashed(["age"], ["unknown"], 16)]
    assert learner.rows_one({"age": 5}) == []


def test_numpy_numbers_are_numbers() -> None:
    one, other = (HedgeLearner(ModelSpec(classes=("a", "b"), hidden_layers=1, width=8)) for _ in range(2))
    for value in (1.0, 2.5, -3.0):
        one.learn_one({"f": value, "g": 2}, "a")
        other.learn_one({"f": np.float32(value), "g": np.int64(2)}, "a")  # type: ignore[dict-item]
    assert one.digest() == other.digest()


def test_remembered_rows_are_bounded() -> None:
    encoder = Encoder(ModelSpec(classes=("a", "b"), fields={"id": "category"}))
    encoder.know([], ["id"])
    for number in range(ROWS_CACHED_MAX + 10):
        encoder.read({"id": str(number)})
    assert len(encoder._rows) == 10


@pytest.mark.parametrize(
    "x",
    [
        {"f": float("nan")},
        {"f": float("inf")},
        {"f": 10**400},
        {"f": 1.0, "g": float("nan")},
        {"f": 1.0, "new": float("inf")},
        {"f": 1.0, "g": [1]},
        {"f": 1.0, "c": b"bytes"},
    ],
)
def test_what_is_no_value_is_refused_and_changes_nothing(x: dict[str, object]) -> None:
    learner = HedgeLearner(ModelSpec(hidden_layers=1, width=8))
    for label in ("a", "b"):
        learner.learn_one({"f": 1.0, "g": 2.0}, label)
    before = learner.digest()
    for call in (
        learner.predict_one,
        lambda x: learner.learn_one(x, "a"),
        lambda x: learner.learn_one(x, "new"),
    ):
        with pytest.raises(ValueError, match="expected a (finite )?number"):
            call(x)
    assert learner.digest() == before
