"""What requests and feedback do, whichever transport brings them."""

import json
from typing import Any

import pytest

from odl.errors import InvalidEvent, OdlError, TooFarBehind
from odl.event import decode
from seldon.answer import failure_of

X = {"origin": "JFK", "distance": 1400}


def feedback(**changes: Any) -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": "p-1"}}, "truth": {"strData": "late"}, **changes}


def test_an_answer_carries_probabilities_names_version_epoch_and_a_new_puid(bench) -> None:
    answer = bench.plane.predict({"data": {"ndarray": [["JFK", 1400], ["EWR", 200]]}})
    assert answer["data"] == {"names": ["on time", "late"], "ndarray": [[0.5, 0.5], [0.5, 0.5]]}
    assert answer["meta"]["tags"] == {"version": 0, "epoch": 1}
    assert len(answer["meta"]["puid"]) == 32


@pytest.mark.parametrize(
    ("request_part", "answer_part"),
    [
        (
            {"data": {"ndarray": [["JFK", 1]]}},
            {"data": {"names": ["on time", "late"], "ndarray": [[0.5, 0.5]]}},
        ),
        (
            {"data": {"names": ["distance"], "tensor": {"shape": [1, 1], "values": [1]}}},
            {"data": {"names": ["on time", "late"], "tensor": {"shape": [1, 2], "values": [0.5, 0.5]}}},
        ),
        ({"jsonData": X}, {"jsonData": {"on time": 0.5, "late": 0.5}}),
        ({"jsonData": [X]}, {"jsonData": [{"on time": 0.5, "late": 0.5}]}),
        ({"strData": json.dumps(X)}, {"strData": '{"on time":0.5,"late":0.5}'}),
    ],
)
def test_answers_come_in_the_form_of_the_question(
    bench, request_part: dict[str, Any], answer_part: dict[str, Any]
) -> None:
    answer = bench.plane.predict(request_part)
    del answer["meta"]
    assert answer == answer_part


def test_a_puid_that_was_sent_comes_back(bench) -> None:
    assert bench.plane.predict({"jsonData": X, "meta": {"puid": "mine"}})["meta"]["puid"] == "mine"


def test_feedback_teaches_and_the_next_answer_knows_it(bench) -> None:
    receipt = bench.plane.feedback(feedback())
    assert receipt == {
        "meta": {"puid": "p-1", "tags": {"outcome": "accepted", "version": 1, "durability": "memory"}}
    }
    answer = bench.plane.predict({"jsonData": X})
    assert answer["jsonData"]["late"] == pytest.approx(2 / 3)
    assert answer["meta"]["tags"]["version"] == 1


def test_the_event_holds_features_label_client_time_and_the_served_version(bench) -> None:
    bench.plane.predict({"jsonData": X})
    sent = feedback(response={"meta": {"puid": "p-1", "tags": {"version": 7}}})
    bench.plane.feedback(sent, client="airport-3")
    event = decode(bench.log.read(0, 1).entries[0].payload)
    assert (event.id, event.x, event.y) == ("p-1", X, "late")
    assert (event.source, event.time_ms, event.version) == ("rest:airport-3", 1_000, 7)


def test_the_same_feedback_twice_is_a_duplicate_with_the_first_version(bench) -> None:
    bench.plane.feedback(feedback())
    tags = bench.plane.feedback(feedback())["meta"]["tags"]
    assert (tags["outcome"], tags["version"]) == ("duplicate", 1)
    assert bench.log.head().version == 1


def test_the_header_gives_the_id_when_no_puid_does(bench) -> None:
    receipt = bench.plane.feedback({"request": {"jsonData": X}, "truth": {"strData": "late"}}, key="k-9")
    assert receipt["meta"]["puid"] == "k-9"


def test_each_row_of_a_feedback_is_an_event_of_its_own(bench) -> None:
    rows = feedback(
        request={"data": {"ndarray": [["JFK", 1], ["EWR", 2]]}, "meta": {"puid": "p"}},
        truth={"data": {"ndarray": ["late", "on time"]}},
    )
    receipt = bench.plane.feedback(rows)
    assert receipt["meta"]["tags"] == {"outcome": "accepted", "version": 2, "durability": "memory"}
    assert receipt["jsonData"] == {"outcomes": ["accepted", "accepted"], "versions": [1, 2]}
    payloads = [entry.payload for entry in bench.log.read(0, 9).entries]
    assert [decode(payload).id for payload in payloads] == ["p/0", "p/1"]


def test_one_bad_row_keeps_all_of_its_feedback_out(bench) -> None:
    rows = feedback(request={"data": {"ndarray": [["JFK", 1], ["EWR", 2]]}}, response={"meta": {"puid": "p"}})
    with pytest.raises(InvalidEvent, match="expected one label for each of 2 rows"):
        bench.plane.feedback(rows)
    with pytest.raises(InvalidEvent, match="received 'never'"):
        bench.plane.feedback({**rows, "truth": {"jsonData": ["late", "never"]}})
    assert bench.log.head().version == 0


def test_a_reward_beside_the_truth_changes_nothing(bench) -> None:
    assert bench.plane.feedback(feedback(reward=0.3))["meta"]["tags"]["outcome"] == "accepted"


def test_a_version_that_is_not_there_yet_is_waited_for_and_then_refused(bench) -> None:
    with pytest.raises(TooFarBehind):
        bench.plane.predict({"jsonData": X, "meta": {"tags": {"min_version": 1}}})
    bench.plane.feedback(feedback())
    answer = bench.plane.predict({"jsonData": X, "meta": {"tags": {"min_version": 1}}})
    assert answer["meta"]["tags"]["version"] == 1


NAN, INFINITE = float("nan"), float("inf")

BAD_FEEDBACK: dict[str, tuple[Any, int, str]] = {
    "empty": ({}, 400, "MALFORMED"),
    "no request": ({"truth": {"strData": "late"}, "response": {"meta": {"puid": "p"}}}, 400, "MALFORMED"),
    "no features": (feedback(request={"meta": {"puid": "p"}}), 400, "MALFORMED"),
    "no truth": ({"request": {"jsonData": X, "meta": {"puid": "p"}}}, 400, "NO_TRUTH"),
    "reward only": ({"request": {"jsonData": X, "meta": {"puid": "p"}}, "reward": 1}, 400, "NO_TRUTH"),
    "no id": ({"request": {"jsonData": X}, "truth": {"strData": "late"}}, 400, "NO_ID"),
    "two ids": (feedback(response={"meta": {"puid": "p-2"}}), 400, "CONFLICTING_IDS"),
    "unknown class": (feedback(truth={"strData": "early"}), 422, "BAD_LABEL"),
    "label too long": (feedback(truth={"strData": "l" * 1001}), 400, "TOO_LONG"),
    "NaN label": (feedback(truth={"jsonData": NAN}), 422, "NOT_FINITE"),
    "unknown feature": (
        feedback(request={"jsonData": {"gate": 3}, "meta": {"puid": "p"}}),
        422,
        "BAD_FEATURES",
    ),
    "wrong kind": (
        feedback(request={"jsonData": {"distance": "far"}, "meta": {"puid": "p"}}),
        422,
        "BAD_FEATURES",
    ),
    "infinite feature": (
        feedback(request={"jsonData": {"distance": INFINITE}, "meta": {"puid": "p"}}),
        422,
        "NOT_FINITE",
    ),
    "unknown field": (feedback(prediction=1), 400, "MALFORMED"),
    "text reward": (feedback(reward="much"), 400, "MALFORMED"),
    "two labels": (feedback(truth={"jsonData": ["late", "late"]}), 400, "BAD_TRUTH"),
    "bad version": (feedback(response={"meta": {"tags": {"version": "new"}}}), 400, "MALFORMED"),
}


@pytest.mark.parametrize("name", BAD_FEEDBACK)
def test_bad_feedback_is_refused_and_the_version_stays(bench, name: str) -> None:
    body, status, reason = BAD_FEEDBACK[name]
    with pytest.raises(OdlError) as caught:
        bench.plane.feedback(body)
    failure = failure_of(caught.value)
    assert (failure.status, failure.body["status"]["reason"]) == (status, reason)
    assert failure.body["status"]["status"] == "FAILURE"
    assert bench.log.head().version == 0


@pytest.mark.parametrize("client", ["a b", "x" * 65, "é", "a:b", "a\n"])
def test_a_client_id_that_would_not_fit_a_source_is_refused(bench, client: str) -> None:
    with pytest.raises(InvalidEvent, match="X-Client-Id"):
        bench.plane.feedback(feedback(), client=client)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        ({"distance": NAN}, "NOT_FINITE"),
        ({"distance": -INFINITE}, "NOT_FINITE"),
        ({"distance": 10**400}, "NOT_FINITE"),
        ({"distance": "far"}, "BAD_FEATURES"),
        ({"gate": 1}, "BAD_FEATURES"),
        ({"origin": "J" * 1001}, "TOO_LONG"),
        ({"n" * 201: 1}, "BAD_NAME"),
        ({f"f{number}": 1 for number in range(4097)}, "TOO_WIDE"),
    ],
)
def test_a_row_that_cannot_be_predicted_is_refused(bench, x: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        bench.plane.predict({"jsonData": x})
    assert caught.value.reason == reason and 400 <= caught.value.status < 500
