"""A spec has defaults for everything and refuses what cannot work, naming the value and the range."""

import json
import tomllib

import pytest

from hedge_model import ModelSpec


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"task": "ranking"}, "expected task as one of binary, multiclass, regression, received 'ranking'"),
        ({"preset": "fast"}, "preset"),
        ({"hidden_layers": -1}, "hidden_layers from 0 to 64, received -1"),
        ({"hidden_layers": 2.5}, "hidden_layers"),
        ({"width": 0}, "width from 1 to 1024, received 0"),
        ({"width": True}, "width"),
        ({"learning_rate": 0.0}, "learning_rate between 0 and 10"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"beta": 1.0}, "beta between 0 and 1 (both excluded), received 1.0"),
        ({"s": 0.0}, "s between 0 and 1"),
        ({"decay": 1.5}, "decay between 0 and 1"),
        ({"ramps": 17}, "ramps from 0 to 16"),
        ({"hash_bits": 40}, "hash_bits from 1 to 22"),
        ({"window": 249}, "window 0 or from 250 to 65536, received 249"),
        ({"window": 65_537}, "window from 0 to 65536, received 65537"),
        ({"fast_start": 0.5}, "fast_start from 0 to 100"),
        ({"preset": "paper", "window": 2_000}, "window 0 and fast_start 0 with preset 'paper'"),
        ({"seed": -1}, "seed"),
        ({"grow_classes": "yes"}, "grow_classes"),
        ({"classes": "ab"}, "list of class names"),
        ({"classes": ("a",)}, "received 1"),
        ({"classes": ("a", "a")}, "different class names"),
        ({"classes": ("a", 1)}, "class names of 1 to 200 characters"),
        ({"task": "binary", "classes": ("a", "b", "c")}, "0 or 2 classes for task 'binary', received 3"),
        ({"task": "regression", "classes": ("a", "b")}, "expected 0 classes"),
        ({"fields": {}}, "fields"),
        ({"fields": {"": "number"}}, "field names"),
        ({"fields": {"age": "text"}}, "the kind of field 'age' as one of number, category, received 'text'"),
        ({"crosses": (("a",),)}, "two or more different field names"),
        ({"fields": {"a": "number", "b": "category"}, "crosses": (("a", "b"),)}, "declared category fields"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError) as caught:
        ModelSpec(**settings)  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_the_preset_decides_what_is_not_given() -> None:
    paper = ModelSpec(preset="paper", learning_rate=0.05)
    assert (paper.hidden_layers, paper.beta, paper.s, paper.ramps) == (20, 0.99, 0.2, 0)
    assert paper.learning_rate == 0.05
    assert (ModelSpec().window, ModelSpec().hidden_layers) == (2_000, 3)
    assert (ModelSpec(preset="g16").window, ModelSpec(preset="g16").hidden_layers) == (0, 5)


def test_a_spec_comes_back_from_json_and_from_toml() -> None:
    spec = ModelSpec(
        task="binary",
        classes=("no", "yes"),
        fields={"b": "category", "a": "category", "c": "number"},
        crosses=(("a", "b"),),
    )
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    table = tomllib.loads(
        'task = "binary"\nclasses = ["no", "yes"]\ncrosses = [["a", "b"]]\n'
        '[fields]\na = "category"\nb = "category"\nc = "number"\n'
    )
    assert ModelSpec.from_dict(table) == spec
    assert hash(ModelSpec.from_dict(table)) == hash(spec)


def test_another_setting_is_another_hash() -> None:
    assert ModelSpec(seed=1).spec_hash != ModelSpec(seed=2).spec_hash


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown model settings: layers; known are .*hidden_layers"):
        ModelSpec.from_dict({"layers": 3})


def test_a_spec_cannot_be_changed() -> None:
    spec = ModelSpec(fields={"a": "number"})
    with pytest.raises(AttributeError):
        spec.width = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        spec.fields["b"] = "number"  # type: ignore[index]


DECLARED = ModelSpec(classes=("a", "b"), fields={"age": "number", "city": "category"})


@pytest.mark.parametrize("x", [{}, {"age": None}, {"age": 3}, {"city": "Rome"}, {"city": 7, "age": 1.5}])
def test_declared_fields_may_be_missing(x: dict[str, object]) -> None:
    DECLARED.check_features(x)  # type: ignore[arg-type]
    assert DECLARED.fields is not None


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"age": 3, "town": "Rome"}, "expected 2 features (age, city), received 2: unknown 'town'"),
        ({"age": "old"}, "expected a number in 'age', received 'old'"),
        ({"age": True}, "expected a number in 'age', received True"),
        ({"age": float("nan")}, "expected a finite number in 'age', received nan"),
        ({"age": 10**400}, "expected a finite number in 'age'"),
        ({"city": [1]}, "expected a number, string, bool or null in 'city', received list"),
    ],
)
def test_features_that_were_not_declared_so_are_refused(x: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        DECLARED.check_features(x)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "label", "name"),
    [
        (("0", "1"), 1, "1"),
        (("0", "1"), 1.0, "1"),
        (("0", "1"), True, "1"),
        (("0", "1"), "1", "1"),
        (("false", "true"), True, "true"),
        ((), 3.0, "3"),
        ((), False, "false"),
        ((), "anything", "anything"),
        ((), 0.5, "0.5"),
    ],
)
def test_a_label_means_the_class_it_spells(classes: tuple[str, ...], label: object, name: str) -> None:
    assert ModelSpec(classes=classes).class_name(label) == name  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["c", 2, None, float("nan"), [1], ""])
def test_a_label_outside_the_classes_is_refused(label: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        DECLARED.check_label(label)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["3", True, float("inf"), None, 10**400])
def test_a_regression_needs_a_finite_number(label: object) -> None:
    with pytest.raises(ValueError, match="number as label"):
        ModelSpec(task="regression").check_label(label)  # type: ignore[arg-type]
