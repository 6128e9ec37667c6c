"""Detectors find drifts that are there, few that are not, and say the same wherever they began."""

import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from odl.config import parse_config
from odl.drift import ERROR, Drift, DriftSettings
from odl.drift_detectors import DriftDetectors, begin_at
from odl.errors import Misconfigured
from odl.event import Event, Features
from odl.fold import Learned

SETTINGS = DriftSettings(generation=2_000)
DRIFT_AT = 3_000


def events(count: int, after: Features | None = None, wrong_after: float = 0.1) -> Iterator[Learned]:
    """Rows of two fields and a model that is right nine times in ten; `after` replaces values once the drift
    has begun, and the model is wrong with probability `wrong_after` then."""
    dice = random.Random(7)
    for version in range(1, count + 1):
        x: Features = {"size": dice.gauss(0, 1), "city": dice.choice(["Rome", "Rome", "Oslo"])}
        wrong = dice.random()
        is_wrong = wrong < 0.1
        if version > DRIFT_AT:
            shift = (after or {}).get("size")
            if isinstance(shift, float | int):
                x["size"] = float(x["size"] or 0) + shift
            x |= {name: value for name, value in (after or {}).items() if name != "size" or value is None}
            is_wrong = wrong < wrong_after
        share = 0.2 if is_wrong else 0.8
        prediction = {"yes": share, "no": 1 - share}
        yield Learned(version, Event(id=str(version), x=x, y="yes"), prediction)


def found(stream: Iterator[Learned], settings: DriftSettings = SETTINGS, begun_at: int = 0) -> list[Drift]:
    detectors = DriftDetectors(settings, begun_at)
    return [drift for each in stream if each.version > begun_at for drift in detectors.see(each)]


def test_a_stream_that_does_not_change_has_no_drift() -> None:
    assert found(events(8_000)) == []


def test_a_rise_of_the_error_is_found_with_its_size() -> None:
    [drift] = found(events(6_000, wrong_after=0.6))
    assert (drift.field, drift.series, drift.detector) == (ERROR, "error", "adwin")
    assert DRIFT_AT < drift.version < DRIFT_AT + 500
    assert drift.size > 0.1


def test_a_fall_of_the_error_is_learning_and_no_drift() -> None:
    assert found(events(6_000, wrong_after=0.0)) == []


@pytest.mark.parametrize(
    ("change", "field", "series"),
    [
        ({"size": 1.5}, "size", "value"),
        ({"size": None}, "size", "missing"),
        ({"city": "Lima"}, "city", "value"),
    ],
)
def test_a_change_of_a_field_is_found_in_that_field(change: Features, field: str, series: str) -> None:
    drifts = found(events(6_000, change))
    assert {drift.field for drift in drifts} == {field}
    first = drifts[0]
    assert first.series == series and DRIFT_AT < first.version < DRIFT_AT + 1_000


def test_a_field_that_changes_by_nature_is_ignored_on_request() -> None:
    settings = DriftSettings(generation=2_000, ignore=("size",))
    assert found(events(6_000, {"size": 1.5}), settings) == []


@pytest.mark.parametrize("detector", ["kswin", "page_hinkley"])
def test_other_detectors_may_watch_the_error(detector: str) -> None:
    settings = DriftSettings(error=detector, inputs="none", significance=0.0001)  # type: ignore[arg-type]
    drifts = found(events(5_000, wrong_after=0.9), settings)
    assert any(d.detector == detector and DRIFT_AT < d.version < DRIFT_AT + 1_000 for d in drifts)


def test_an_error_of_numbers_is_compared_with_the_usual_one() -> None:
    dice = random.Random(3)
    stream = [
        Learned(v, Event(id=str(v), x={}, y=dice.gauss(0, 100.0 if v <= DRIFT_AT else 400.0)), 0.0)
        for v in range(1, 5_001)
    ]
    drifts = found(iter(stream))
    assert drifts and all(drift.field == ERROR and drift.version > DRIFT_AT for drift in drifts)


@pytest.mark.parametrize("seen", [1_999, 2_000, 2_500, 4_100, 5_999])
def test_detectors_that_begin_again_say_what_those_say_that_never_stopped(seen: int) -> None:
    stream = list(events(9_000, {"size": 0.8}, wrong_after=0.5))
    whole = [drift for drift in found(iter(stream)) if drift.version > seen]
    again = found(iter(stream), begun_at=begin_at(seen, SETTINGS.generation))
    assert [drift for drift in again if drift.version > seen] == whole


def test_without_river_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(Misconfigured, match=r"odl\[drift\]"):
        DriftDetectors(SETTINGS)


def test_a_serving_process_does_not_import_river() -> None:
    script = (
        "import sys, seldon.assembly, odl.cli.drift, odl.drift_observer; sys.exit('river' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_retraining_needs_one_way_to_be_started() -> None:
    text = 'name = "m"\n[model]\n[drift]\non_error = "retrain"\n'
    with pytest.raises(Misconfigured, match="either retrain_url or retrain_command"):
        parse_config(text)
    assert parse_config(text + 'retrain_url = "http://x/"').drift.on_error == "retrain"
