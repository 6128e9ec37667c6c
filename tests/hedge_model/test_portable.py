"""An exported model predicts what the learner predicted, by NumPy alone."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import PortableModel, export
from odl.event import Features

SPECS = [
    ModelSpec(hidden_layers=3, width=20, crosses=(("c", "d"),)),
    ModelSpec(task="regression", hidden_layers=2, width=20, ramps=5),
    ModelSpec(preset="paper", hidden_layers=4, width=20),
    ModelSpec(hidden_layers=0),
]
ALONE = """
import sys
from hedge_model.portable import PortableModel
print(PortableModel.load(sys.argv[1]).predict_proba_one({"a": 1.5, "c": "x"}))
print([name for name in ("numba", "llvmlite", "tensorflow", "odl") if name in sys.modules])
"""


def _trained(spec: ModelSpec) -> HedgeLearner:
    random = np.random.default_rng(1)
    learner = HedgeLearner(spec)
    for a, b, c in random.standard_normal((150, 3)).tolist():
        x: Features = {"a": a, "b": None if c > 1 else b * 1e4, "c": "up" if c > 0 else "down", "d": a > 0}
        learner.learn_one(x, a + c if spec.task == "regression" else ("yes" if a + c > 0 else "no"))
    return learner


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.task}-{spec.preset}-{spec.hidden_layers}")
def test_it_predicts_what_the_learner_predicts(spec: ModelSpec) -> None:
    learner, file = _trained(spec), io.BytesIO()
    export(learner, file)
    model = PortableModel.load(io.BytesIO(file.getvalue()))
    assert (model.version, model.classes) == (150, learner.classes)
    events: list[Features] = [
        {"a": 0.5, "b": -2e4, "c": "up", "d": True},
        {"a": -3, "c": "down"},
        {"b": 1e30, "c": "never seen", "unknown": "field"},
        {},
    ]
    for x in events:
        expected, found = learner.predict_one(x), model.predict_one(x)
        if isinstance(expected, dict):
            assert isinstance(found, dict)
            assert list(found) == list(expected)
            assert list(found.values()) == pytest.approx(list(expected.values()), abs=2e-5)
        else:
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_it_needs_no_compiler(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    export(_trained(SPECS[0]), file)
    run = subprocess.run([sys.executable, "-c", ALONE, str(file)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize("x", [{"a": float("nan")}, {"a": float("inf")}, {"a": [1]}])
def test_what_is_no_value_is_refused(x: dict[str, object]) -> None:
    file = io.BytesIO()
    export(_trained(SPECS[0]), file)
    with pytest.raises(ValueError, match="expected a (finite )?number"):
        PortableModel.load(io.BytesIO(file.getvalue())).predict_proba_one(x)  # type: ignore[arg-type]


def test_another_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="expected an exported model, received a file with a"):
        PortableModel.load(tmp_path / "other.npz")
