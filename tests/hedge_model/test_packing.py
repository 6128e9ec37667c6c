"""The bytes of a learner: what stands in their header does not change unless the format's number does."""

import json

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.kernel.fold import REVISION
from hedge_model.packing import _PREFIX, FORMAT
from hedge_model.spec import FieldKind


def header_of(data: bytes) -> object:
    """The JSON that describes the arrays."""
    _, _, _, length = _PREFIX.unpack_from(data)
    return json.loads(data[_PREFIX.size : _PREFIX.size + length])


def test_the_header_of_format_2() -> None:
    fields: dict[str, FieldKind] = {"age": "number", "city": "category", "rent": "number"}
    spec = ModelSpec(task="binary", classes=("no", "yes"), ramps=4, fields=fields)
    learner = HedgeLearner(spec)
    learner.learn_one({"age": None, "city": "Rome", "rent": 3.0}, "yes")
    assert FORMAT == 2
    assert header_of(learner.to_bytes()) == {
        "format": 2,
        "kernel": REVISION,
        "spec": spec.canonical,
        "classes": ["no", "yes"],
        "numbers": ["age", "rent"],
        "fields": [0, 0, 10, 0, 5, 1, -1, 1],  # column, ramp row, missing indicator, slot
        "columns": 11,
        "categories": ["city"],
    }


def test_a_learner_and_its_copy_grow_apart() -> None:
    learner = HedgeLearner(ModelSpec(hidden_layers=1, width=16))
    learner.learn_one({"a": 1.0}, "x")
    data = learner.to_bytes()
    one, other = HedgeLearner.from_bytes(data), HedgeLearner.from_bytes(data)
    one.learn_one({"a": 2.0, "b": 1.0, "c": "new"}, "y")
    assert one.fields == {"a": "number", "b": "number", "c": "category"}
    assert (other.fields, other.classes) == ({"a": "number"}, ("x",))
    assert HedgeLearner.from_bytes(data).digest() == other.digest() == learner.digest()
