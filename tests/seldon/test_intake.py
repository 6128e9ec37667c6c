"""Feedback by an id alone, corrections, and waiting for a version: the same by every transport."""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from odl.errors import InvalidEvent, Unavailable
from odl.event import Event, decode, encode
from odl.feedback import DirectSink, Receipt
from odl.log import Append, Outcome
from odl.memory import MemoryLog
from odl.remembered import MemoryPredictions
from odl.replica import Replica, ReplicaSettings
from seldon.message import decode_message
from seldon.plane import DataPlane
from seldon.request import read_request
from streaming.join import Join

X = {"origin": "JFK", "distance": 1400}


class KeepingSink:
    """Acknowledges what it keeps, as Kafka does; `arrive` moves it into the log, as a consumer does."""

    def __init__(self, log: MemoryLog) -> None:
        self.kept: list[Event] = []
        self._log = log

    def submit(self, event: Event) -> Receipt:
        self.kept.append(event)
        return Receipt(Outcome.ACCEPTED, None, "durable")

    def arrive(self) -> None:
        for event in self.kept:
            self._log.append(Append(encode(event), event.id, "kafka:c:t:0"))


@dataclass(frozen=True)
class Desk:
    """A plane that remembers predictions and takes corrections."""

    plane: DataPlane
    log: MemoryLog
    replica: Replica
    kafka: KeepingSink
    durable: DataPlane  # the same with feedback that goes through Kafka

    def predict(self, **message: Any) -> str:
        answer = self.plane.predict({"jsonData": X, **message})
        return str(answer["meta"]["puid"])

    def events(self) -> list[Event]:
        return [decode(entry.payload) for entry in self.log.read(0, 100).entries]


@pytest.fixture
def desk(counting: Any, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """`param`: how long a prediction, or a wait for a version, may take."""
    log = MemoryLog()
    log.create()
    store = MemoryPredictions(ttl_s=3600, records_max=100)
    settings = ReplicaSettings(deadline_s=request.param if hasattr(request, "param") else 60.0)
    with Replica(counting, counting.from_bytes, log, predictions=store, settings=settings) as replica:
        join, kafka = Join(log, store, "learn"), KeepingSink(log)
        plane = DataPlane(replica, DirectSink(log, "memory"), log=log, join=join, clock_ms=lambda: 1_000)
        yield Desk(plane, log, replica, kafka, DataPlane(replica, kafka, log=log, join=join))


def label(puid: str, truth: str = "late", **tags: Any) -> dict[str, Any]:
    return {"response": {"meta": {"puid": puid, "tags": tags}}, "truth": {"strData": truth}}


def test_an_id_and_a_truth_teach_what_was_asked_and_score_what_was_answered(desk: Desk) -> None:
    puid = desk.predict()
    for number in range(3):  # the model moves on
        other = {"jsonData": X, "meta": {"puid": f"o-{number}"}}
        desk.plane.feedback({"request": other, "truth": {"strData": "on time"}})
    receipt = desk.plane.feedback(label(puid), client="airport-3")
    assert receipt["meta"]["tags"] == {"outcome": "accepted", "version": 4, "durability": "memory"}
    event = desk.events()[-1]
    assert (event.id, event.x, event.y, event.source) == (puid, X, "late", "rest:airport-3")
    assert (event.version, event.prediction) == (0, {"on time": 0.5, "late": 0.5})
    assert event.time_ms == 1_000
    assert desk.plane.feedback(label(puid))["meta"]["tags"]["outcome"] == "duplicate"


def test_the_scores_are_those_of_the_served_predictions(desk: Desk) -> None:
    puids = [desk.predict() for _ in range(4)]
    for puid in puids:
        desk.plane.feedback(label(puid))
    desk.predict()
    scores = desk.replica.status()
    assert scores.log_loss == pytest.approx(math.log(2))  # all four said a half


def test_rows_of_one_prediction_are_remembered_one_by_one(desk: Desk) -> None:
    answer = desk.plane.predict({"jsonData": [X, {**X, "distance": 2}]})
    truth = {"jsonData": ["late", "on time"]}
    desk.plane.feedback({"request": {"meta": {"puid": answer["meta"]["puid"]}}, "truth": truth})
    assert [(event.x["distance"], event.y) for event in desk.events()] == [(1400, "late"), (2, "on time")]


def test_an_answer_sent_back_is_enough(desk: Desk) -> None:
    answer = desk.plane.predict({"jsonData": X})
    receipt = desk.plane.feedback({"response": answer, "truth": {"strData": "late"}})
    assert receipt["meta"]["tags"]["outcome"] == "accepted"


def test_an_id_that_was_never_predicted_under_is_404(desk: Desk) -> None:
    with pytest.raises(InvalidEvent) as caught:
        desk.plane.feedback(label("p-9"))
    assert (caught.value.status, caught.value.reason) == (404, "UNKNOWN")


def test_a_label_that_does_not_fit_is_refused_before_anything_is_sent(desk: Desk) -> None:
    answer = desk.plane.predict({"jsonData": [X, X]})
    with pytest.raises(InvalidEvent, match="expected one of"):
        desk.plane.feedback(
            {"request": {"meta": {"puid": answer["meta"]["puid"]}}, "truth": {"jsonData": ["late", "never"]}}
        )
    assert desk.events() == []


def test_a_correction_is_learned_and_linked_and_the_same_again_is_a_duplicate(desk: Desk) -> None:
    puid = desk.predict()
    desk.plane.feedback(label(puid))
    for outcome in ("accepted", "duplicate"):
        receipt = desk.plane.feedback(label(puid, "on time", corrects=True))
        assert receipt["meta"]["tags"]["outcome"] == outcome
    event = desk.events()[1]
    assert (event.id, event.y, event.corrects, event.x) == (f"{puid}/c1", "on time", 1, X)
    assert desk.plane.feedback(label(puid, corrects=2.0))["meta"]["tags"]["version"] == 3  # protobuf's 2


def test_a_retraction_is_recorded_and_teaches_nothing(desk: Desk) -> None:
    puid = desk.predict()
    desk.plane.feedback(label(puid))
    receipt = desk.plane.feedback({"request": {"meta": {"puid": puid, "tags": {"retracts": True}}}})
    assert receipt["meta"]["tags"]["version"] == 2
    assert desk.events()[1] == Event(
        f"{puid}/r", {}, "late", source="rest:anonymous", time_ms=1_000, retracts=1
    )
    desk.predict()
    assert (desk.replica.status().version, desk.replica.status().skipped) == (2, 1)


@pytest.mark.parametrize("corrects", [0, 100, 1.5, "yes", float("inf")])
def test_what_a_correction_is_has_to_be_said_clearly(desk: Desk, corrects: Any) -> None:
    with pytest.raises(InvalidEvent, match="corrects"):
        desk.plane.feedback(label("p-1", corrects=corrects))


def test_a_retraction_is_true_or_false(desk: Desk) -> None:
    with pytest.raises(InvalidEvent, match="retracts"):
        desk.plane.feedback(label("p-1", retracts="false"))


def test_the_open_inference_protocol_gets_an_id_to_teach_by(desk: Desk) -> None:
    request = desk.plane.named(read_request(decode_message({"jsonData": X})))
    desk.plane.predictions(request).result(60)
    assert desk.plane.feedback(label(request.puid))["meta"]["tags"]["outcome"] == "accepted"


def test_waiting_tells_the_version_once_the_log_has_the_event(desk: Desk) -> None:
    puid = desk.predict()
    submit, arrived = desk.kafka.submit, threading.Event()

    def submit_and_arrive(event: Event) -> Receipt:
        receipt = submit(event)
        threading.Thread(target=lambda: (desk.kafka.arrive(), arrived.set())).start()
        return receipt

    desk.kafka.submit = submit_and_arrive  # type: ignore[method-assign]
    tags = desk.durable.feedback(label(puid), wait="version")["meta"]["tags"]
    assert arrived.wait(60)
    assert tags == {"outcome": "accepted", "durability": "durable", "version": 1}


@pytest.mark.parametrize("desk", [0.2], indirect=True)
def test_what_is_not_visible_in_time_is_kept_all_the_same_and_says_so(desk: Desk) -> None:
    whole = {"request": {"jsonData": X, "meta": {"puid": "p-1", "tags": {"wait": "version"}}}}
    tags = desk.durable.feedback({**whole, "truth": {"strData": "late"}})["meta"]["tags"]
    assert tags == {"outcome": "accepted", "durability": "durable", "visible": False}
    assert [event.id for event in desk.kafka.kept] == ["p-1"]
    with pytest.raises(InvalidEvent, match="'version' in wait"):
        desk.durable.feedback(label("p-1"), wait="long")


@pytest.mark.parametrize("desk", [0.2], indirect=True)
def test_a_log_that_is_away_does_not_take_back_what_kafka_has(desk: Desk) -> None:
    class Away(MemoryLog):
        def find(self, event_ids: Any) -> Any:
            raise Unavailable("connection refused")

    plane = DataPlane(desk.replica, desk.kafka, log=Away())
    whole = {"request": {"jsonData": X, "meta": {"puid": "p-1"}}, "truth": {"strData": "late"}}
    tags = plane.feedback(whole, wait="version")["meta"]["tags"]
    assert tags == {"outcome": "accepted", "durability": "durable", "visible": False}
