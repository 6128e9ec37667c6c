"""Labels that come with an id alone: what they are joined with, and what becomes of those that are not."""

import json
from typing import Any

import pytest

from odl.errors import InvalidEvent
from odl.event import Event, encode
from odl.log import Append
from odl.memory import MemoryLog
from odl.remembered import MemoryPredictions, PredictionStore, Remembered
from seldon.puid import new_puid
from streaming.join import Join, Joined, Known, LateLabel, read_label

NOW_MS = 1_700_000_000_000
SERVED = Remembered({"usage": 3}, {"stays": 0.75, "leaves": 0.25}, version=7, epoch=1)


class Scene:
    """A store with a clock, a log, and a join of both."""

    def __init__(self, corrections: Any = "refuse") -> None:
        self.now_ms = NOW_MS
        self.store = MemoryPredictions(ttl_s=60, records_max=10, clock_ms=lambda: self.now_ms)
        self.log = MemoryLog()
        self.log.create()
        self.join = Join(self.log, self.store, corrections, clock_ms=lambda: self.now_ms)

    def one(self, **label: Any) -> Joined:
        [joined] = self.join.resolve([LateLabel(**label)])
        return joined

    def learn(self, event: Joined) -> int:
        assert isinstance(event, Event)
        appended = self.log.append(Append(encode(event), event.id, "rest:test"))
        assert appended.version is not None
        return appended.version


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def learning() -> Scene:
    scene = Scene("learn")
    scene.store.put("p-1", SERVED)
    scene.learn(scene.one(id="p-1", truth="stays"))
    return scene


def reason(joined: Joined) -> str:
    assert isinstance(joined, InvalidEvent), joined
    return joined.reason


def test_a_label_becomes_an_event_with_the_features_and_the_answer_of_prediction_time(scene: Scene) -> None:
    scene.store.put("p-1", SERVED)
    joined = scene.one(id="p-1", truth="leaves", time_ms=5)
    assert joined == Event(
        "p-1", {"usage": 3}, "leaves", time_ms=5, version=7, prediction={"stays": 0.75, "leaves": 0.25}
    )


def test_a_label_that_comes_twice_is_the_same_event_and_so_a_duplicate(scene: Scene) -> None:
    scene.store.put("p-1", SERVED)
    first = scene.one(id="p-1", truth="leaves")
    scene.learn(first)
    assert scene.one(id="p-1", truth="leaves") == first


def test_a_label_that_was_learned_is_known_even_when_its_prediction_is_forgotten(scene: Scene) -> None:
    scene.store.put("p-1", SERVED)
    scene.learn(scene.one(id="p-1", truth="leaves"))
    scene.now_ms += 61_000
    assert scene.one(id="p-1", truth="leaves") == Known(1)


def test_an_id_that_nobody_predicted_under_is_unknown(scene: Scene) -> None:
    unknown = scene.one(id="p-9", truth="leaves")
    assert reason(unknown) == "UNKNOWN" and unknown.status == 404


def test_a_label_after_the_time_to_live_is_expired(scene: Scene) -> None:
    scene.store.put("p-1", SERVED)
    scene.now_ms += 60_000
    assert isinstance(scene.one(id="p-1", truth="leaves"), Event)
    scene.now_ms += 1
    expired = scene.one(id="p-1", truth="leaves")
    assert reason(expired) == "EXPIRED" and expired.status == 410


def test_an_id_of_ours_tells_its_age_when_everything_else_is_forgotten(scene: Scene) -> None:
    assert reason(scene.one(id=new_puid(NOW_MS - 61_000), truth="leaves")) == "EXPIRED"
    assert reason(scene.one(id=new_puid(NOW_MS - 59_000), truth="leaves")) == "UNKNOWN"


def test_an_answer_that_its_replica_did_not_live_to_store_leaves_the_features(scene: Scene) -> None:
    scene.store.put("p-1", Remembered({"usage": 3}))
    assert scene.one(id="p-1", truth="leaves") == Event("p-1", {"usage": 3}, "leaves")


def test_a_model_that_remembers_nothing_asks_for_the_features() -> None:
    no_store: PredictionStore | None = None
    log = MemoryLog()
    log.create()
    [refused] = Join(log, no_store).resolve([LateLabel("p-1", "leaves")])
    assert reason(refused) == "NO_FEATURES"


def test_corrections_are_refused_unless_the_model_file_says_learn(scene: Scene) -> None:
    scene.store.put("p-1", SERVED)
    scene.learn(scene.one(id="p-1", truth="leaves"))
    assert reason(scene.one(id="p-1", truth="stays", corrects=True)) == "CORRECTION_REFUSED"
    assert reason(scene.one(id="p-1", retracts=True)) == "CORRECTION_REFUSED"


def test_a_correction_is_a_new_event_linked_to_the_first(learning: Scene) -> None:
    correction = learning.one(id="p-1", truth="leaves", corrects=True)
    assert isinstance(correction, Event)
    assert (correction.id, correction.y, correction.corrects) == ("p-1/c1", "leaves", 1)
    assert (correction.x, correction.version) == ({"usage": 3}, 7)
    assert learning.learn(correction) == 2
    assert learning.learn(learning.one(id="p-1", truth="leaves", corrects=True)) == 2  # sent again
    second = learning.one(id="p-1", truth="stays", corrects=2)
    assert isinstance(second, Event) and (second.id, second.corrects) == ("p-1/c2", 1)


def test_a_correction_needs_no_memory_of_the_prediction(learning: Scene) -> None:
    learning.now_ms += 10 * 60_000
    assert isinstance(learning.one(id="p-1", truth="leaves", corrects=True), Event)


def test_a_retraction_is_an_entry_without_features_linked_to_the_first(learning: Scene) -> None:
    retraction = learning.one(id="p-1", retracts=True)
    assert retraction == Event("p-1/r", {}, "stays", retracts=1)


def test_nothing_can_be_corrected_that_was_not_learned(learning: Scene) -> None:
    refused = learning.one(id="p-9", truth="leaves", corrects=True)
    assert reason(refused) == "NOTHING_TO_CORRECT"


@pytest.mark.parametrize(
    "label",
    [
        {"truth": None, "corrects": True},
        {"truth": "leaves", "retracts": True},
        {"retracts": True, "corrects": True},
    ],
)
def test_a_change_says_either_what_is_right_or_that_nothing_is(learning: Scene, label: Any) -> None:
    assert reason(learning.one(id="p-1", **label)) == "BAD_FIELD"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ({"id": "p", "truth": 1}, LateLabel("p", 1)),
        ({"id": "p", "truth": "a", "corrects": 2}, LateLabel("p", "a", corrects=2)),
        ({"id": "p", "retracts": True}, LateLabel("p", retracts=True)),
        ({"id": "p", "x": {"truth": 1}, "y": "a"}, None),
        ({"id": "p", "y": "truth"}, None),
        ([{"truth": 1}], None),
    ],
)
def test_a_label_is_told_from_an_event(value: Any, label: LateLabel | None) -> None:
    assert read_label(json.dumps(value, separators=(",", ":")).encode()) == label


@pytest.mark.parametrize(
    "value",
    [
        b'{"truth":"a"}',
        b'{"id":"p","truth":[]}',
        b'{"id":"p","truth":"a","corrects":0}',
        b'{"id":"p","truth":1,"z":1}',
    ],
)
def test_a_label_of_the_wrong_form_is_refused_with_one_sentence(value: bytes) -> None:
    with pytest.raises(InvalidEvent, match="expected id and truth"):
        read_label(value)
