"""Gates let good candidates pass and say why bad ones do not."""

import math
from dataclasses import dataclass

import pytest

from odl.event import Features
from odl.gate import Check, Example, GateSettings, calibration_error, judge, model_gate, quality_gate

SETTINGS = GateSettings(accuracy_min=0.7, segment_accuracy_min=0.7)


@dataclass
class Model:
    """Says 'yes' with probability `sure` where a > 0, in the way that `fault` spoils."""

    sure: float = 0.9
    fault: str = ""

    def predict_one(self, x: Features) -> dict[str, float]:
        a = x["a"]
        assert isinstance(a, float)
        says_yes = a > 0
        if self.fault == "flipped" or (self.fault == "segment" and x["city"] == "Rome"):
            says_yes = not says_yes
        if self.fault == "nan":
            return {"yes": math.nan, "no": math.nan}
        if self.fault == "refusing":
            raise ValueError("expected b")
        return {
            "yes": self.sure if says_yes else 1 - self.sure,
            "no": 1 - self.sure if says_yes else self.sure,
        }


def examples(n: int = 400) -> list[Example]:
    """One label in ten is noise, so a confidence of .9 is right."""
    found = []
    for i in range(n):
        a, city = ((i * 7919) % 1000) / 500 - 0.999, ("Rome", "Oslo")[i % 2]
        truth = (a > 0) != ((i * 31) % 10 == 0)
        found.append(Example({"a": a, "city": city}, "yes" if truth else "no", city))
    return found


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_good_candidate_passes_every_check():
    checks = model_gate(Model(), Model(), examples(), examples(), SETTINGS)
    checks += quality_gate(Model(), examples(), SETTINGS)
    assert failed(checks) == []
    assert len(checks) == 10


@pytest.mark.parametrize(
    ("candidate", "found"),
    [
        (Model(fault="nan"), ["recent: finite", "recent: cost against the serving model"]),
        (Model(fault="refusing"), ["recent: finite", "recent: cost against the serving model"]),
        (Model(sure=0.999), ["recent: cost against the serving model"]),
        (Model(sure=0.6), ["calibration error", "recent: cost against the serving model"]),
    ],
    ids=["nan", "refusing", "too sure", "not sure enough"],
)
def test_the_model_gate_says_what_is_wrong(candidate, found):
    assert failed(model_gate(candidate, Model(), examples(), [], SETTINGS)) == found


def test_flipped_labels_fail_the_quality_gate():
    assert "accuracy" in failed(quality_gate(Model(fault="flipped"), examples(), SETTINGS))


def test_a_candidate_that_is_bad_in_one_segment_fails_for_that_segment():
    settings = GateSettings(accuracy_min=0.4, segment_accuracy_min=0.7)
    assert failed(quality_gate(Model(fault="segment"), examples(), settings)) == ["accuracy of segment Rome"]


def test_a_small_segment_is_shown_and_not_judged():
    few = [*examples(), Example({"a": 1.0, "city": "Bari"}, "no", "Bari")]
    checks = quality_gate(Model(), few, SETTINGS)
    [bari] = [check for check in checks if check.name.endswith("Bari")]
    assert bari.passed
    assert bari.found == "0.0000 of 1"


def test_too_few_events_prove_nothing():
    assert failed(model_gate(Model(), None, examples(50), [], SETTINGS)) == ["held-out events"]
    assert failed(quality_gate(Model(), [], SETTINGS)) == ["held-out events"]


def test_forgetting_the_past_fails_on_old_events():
    old = [Example({**example.x, "city": "Rome"}, example.y) for example in examples()]
    found = failed(model_gate(Model(fault="segment"), Model(), [], old, GateSettings(events_min=1)))
    assert "old: cost against the serving model" in found


def test_a_difference_within_chance_passes():
    assert failed(model_gate(Model(sure=0.91), Model(), examples(), [], GateSettings(worse_max=0.0))) == []


def test_regression_is_judged_by_its_error():
    class Doubling:
        def predict_one(self, x):
            return 2.0 * x["a"]

    rows = [Example({"a": float(i)}, 2.0 * i + 1) for i in range(10)]
    assert judge(Doubling(), rows).cost == 1.0
    assert failed(quality_gate(Doubling(), rows, GateSettings(mae_max=0.5))) == ["mean absolute error"]
    assert failed(quality_gate(Doubling(), rows, GateSettings(mae_max=1.5))) == []


def test_calibration_error_of_a_calibrated_model_is_small():
    judged = judge(Model(), examples(1000))
    assert calibration_error(judged.hits, judged.confidences) < 0.01
