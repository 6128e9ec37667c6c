"""The demo's driver keeps event time: who is asked what when, and what each answer must know."""

import threading
from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest

from odl.cli.demo.client import Answer
from odl.cli.demo.driver import SLICE_MIN, Driver, goes_by_rest, slices
from odl.cli.demo.flights import LATE, ON_TIME, Flight, read_flights
from odl.cli.demo.scoreboard import Scoreboard

COUNT = 400


class Recorder:
    """Stands in for the replicas and for Kafka: says 0.5, stores at once, and writes down who said what."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self.predicted: dict[str, int] = {}  # flight -> version that the answer had to know
        self.asked: Counter[str] = Counter()  # replica -> predictions
        self.stored: dict[str, str] = {}  # flight -> the way its outcome came

    def predict(self, url: str, puid: str, x: dict[str, Any], min_version: int) -> Answer:
        with self._mutex:
            assert len(self.stored) >= min_version
            self.predicted[puid] = min_version
            self.asked[url] += 1
        return Answer({ON_TIME: 0.5, LATE: 0.5}, min_version, 1, 0.001)

    def feedback(self, url: str, puid: str, x: dict[str, Any], label: str, version: int) -> None:
        self._store(puid, "rest")

    def send(self, event: Any) -> "Future[None]":
        self._store(event.id, "kafka")
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _store(self, flight_id: str, way: str) -> None:
        with self._mutex:
            assert flight_id in self.predicted, "an outcome came before its prediction"
            assert flight_id not in self.stored, "an outcome came twice"
            self.stored[flight_id] = way


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights(COUNT)


@pytest.fixture(scope="module")
def recorder(flights: list[Flight]) -> Recorder:
    recorder = Recorder()
    driver = Driver(recorder, recorder, ["a", "b"], Scoreboard(), 0)
    driver.replay(flights, lambda: None)
    assert driver.version == COUNT
    return recorder


def test_every_flight_is_predicted_and_fed_back_once(flights: list[Flight], recorder: Recorder) -> None:
    assert set(recorder.predicted) == set(recorder.stored) == {flight.id for flight in flights}


def test_replicas_are_asked_in_turn(recorder: Recorder) -> None:
    assert set(recorder.asked) == {"a", "b"}
    assert abs(recorder.asked["a"] - recorder.asked["b"]) <= COUNT * 0.2  # feedback by REST takes turns, too


def test_a_tenth_of_the_outcomes_come_by_rest(recorder: Recorder) -> None:
    assert Counter(recorder.stored.values()) == {"rest": COUNT // 10, "kafka": COUNT - COUNT // 10}


def test_an_answer_knows_all_outcomes_but_those_of_the_last_minutes(
    flights: list[Flight], recorder: Recorder
) -> None:
    steps = list(slices(flights))
    known_before = [0]
    for step in steps:
        known_before.append(known_before[-1] + len(step.known))
    for number, step in enumerate(steps):
        for flight in step.departing:
            assert recorder.predicted[flight.id] == known_before[max(number - 1, 0)]


def test_no_outcome_is_sent_before_it_is_known(flights: list[Flight]) -> None:
    for step in slices(flights):
        minutes = {f.departure_min // SLICE_MIN for f in step.departing}
        minutes |= {f.known_min // SLICE_MIN for f in step.known}
        assert len(minutes) == 1  # and within a step predictions come first


def test_the_way_of_an_outcome_is_the_same_in_every_run(flights: list[Flight]) -> None:
    assert [f.id for f in flights[:20] if goes_by_rest(f)] == ["flight-000010", "flight-000020"]


def test_scores_use_what_was_answered_and_a_base_rate_known_then(flights: list[Flight]) -> None:
    board = Scoreboard(n_late=1, n_known=8)
    board.predicted(flights[0], Answer({ON_TIME: 0.75, LATE: 0.25}, 8, 1, 0.001))
    board.predicted(flights[1], Answer({ON_TIME: 0.5, LATE: 0.5}, 8, 1, 0.001))
    served = board.known(flights[0])
    assert (served.probability, served.base_rate) == (0.25, 0.2)
    board.predicted(flights[2], Answer({ON_TIME: 0.5, LATE: 0.5}, 9, 1, 0.001))
    assert board.known(flights[1]).base_rate == 0.2
    assert board.known(flights[2]).base_rate == pytest.approx((2 + served.late) / 11)
    assert board.scored[0] is served
