"""What both fronts answer the same, by REST, by gRPC, and to Seldon's own clients."""

import json
import shutil
import subprocess
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("seldon-core")  # Seldon's server takes long to start: once
X = {"origin": "JFK", "distance": 1400}


def feedback(puid: str, label: str = "late") -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


QUESTIONS: dict[str, Any] = {
    "ndarray": {"data": {"names": ["origin", "distance"], "ndarray": [["JFK", 1400], ["EWR", 200.5]]}},
    "ndarray without names": {"data": {"ndarray": [["JFK", 1400]]}},
    "tensor": {"data": {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1400, 3]}}},
    "one object": {"jsonData": X},
    "objects": {"jsonData": [X, {"origin": None}]},
    "text": {"strData": json.dumps(X)},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_both_fronts_answer_the_same(fronts: Any, name: str) -> None:
    theirs, ours = fronts.both("/api/v1.0/predictions", {**QUESTIONS[name], "meta": {"puid": "p"}})
    assert theirs.status_code == ours.status_code == 200
    assert theirs.json() == ours.json()
    assert theirs.json()["meta"]["puid"] == "p"


def test_feedback_by_one_front_is_known_to_the_other(fronts: Any) -> None:
    theirs, ours = fronts.both("/api/v1.0/feedback", feedback("known"))
    first, second = theirs.json()["meta"]["tags"], ours.json()["meta"]["tags"]
    assert (first["outcome"], second["outcome"]) == ("accepted", "duplicate")
    assert first["version"] == second["version"]
    version = fronts.both("/api/v1.0/predictions", {"jsonData": X})[0].json()["meta"]["tags"]["version"]
    assert version >= first["version"]


def test_headers_count_under_both_fronts(fronts: Any) -> None:
    message = {"request": {"jsonData": X}, "truth": {"data": {"ndarray": ["late"]}}}
    theirs, ours = fronts.both("/api/v1.0/feedback", message, Idempotency_Key="key-1", X_Client_Id="gate-7")
    assert theirs.json()["meta"]["puid"] == ours.json()["meta"]["puid"] == "key-1"
    assert ours.json()["meta"]["tags"]["outcome"] == "duplicate"


REFUSED: dict[str, tuple[str, Any]] = {
    "unknown field": ("predictions", {"jsonData": X, "extra": 1}),
    "no data": ("predictions", {}),
    "a list": ("predictions", [1]),
    "beyond the cap": ("predictions", {"strData": " " * (1 << 20)}),
    "both forms": ("predictions", {"jsonData": X, "strData": "x"}),
    "unknown feature": ("predictions", {"jsonData": {"gate": 1}}),
    "wrong shape": ("predictions", {"data": {"ndarray": [[1, 2, 3]]}}),
    "tensor that does not fit": (
        "predictions",
        {"data": {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1]}}},
    ),
    "no truth": ("feedback", {"request": {"jsonData": X, "meta": {"puid": "p"}}, "reward": 1}),
    "no id": ("feedback", {"request": {"jsonData": X}, "truth": {"strData": "late"}}),
    "unknown class": ("feedback", feedback("p", "early")),
    "empty feedback": ("feedback", {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_fronts_refuse_the_same_with_the_same_words(fronts: Any, name: str) -> None:
    path, message = REFUSED[name]
    theirs, ours = fronts.both(f"/api/v1.0/{path}", message)
    assert 400 <= theirs.status_code == ours.status_code < 500
    assert theirs.json() == ours.json()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_numbers_that_are_not_finite_are_refused_by_both(fronts: Any, number: str) -> None:
    row = f'{{"jsonData":{{"distance":{number}}},"meta":{{"puid":"not-finite"}}}}'
    truth = f'{{"request":{row},"truth":{{"strData":"late"}}}}'
    for path, body in (("predictions", row), ("feedback", truth)):
        for url in (fronts.seldon, fronts.ours):
            answer = httpx.post(
                f"{url}/api/v1.0/{path}",
                content=body,
                headers={"content-type": "application/json"},
                timeout=30,
            )
            assert 400 <= answer.status_code < 500, answer.text


def test_health_and_metadata(fronts: Any) -> None:
    health = httpx.get(fronts.seldon + "/health/status", timeout=30).json()
    assert health["jsonData"].keys() == {"version", "epoch"}
    assert httpx.get(fronts.seldon + "/metadata", timeout=30).json()["name"] == "two-fronts"


@pytest.mark.parametrize("name", ["object", "service Seldon", "text", "table", "tensor", "no such method"])
def test_both_answer_the_same_by_grpc(answers: dict[str, Any], name: str) -> None:
    theirs, ours = (answers["questions"][front][name] for front in ("theirs", "ours"))
    assert theirs == ours
    assert "answer" in ours or ours["code"] == "UNIMPLEMENTED"


def test_both_learn_by_grpc_and_know_feedback_that_they_had(answers: dict[str, Any]) -> None:
    for front in ("theirs", "ours"):
        lessons = answers["lessons"][front]
        first, again = (lessons[name]["answer"]["meta"]["tags"] for name in ("first", "again"))
        assert (first["outcome"], again["outcome"]) == ("accepted", "duplicate")
        assert first["version"] == again["version"]
        assert lessons["reads its writes"]["answer"]["meta"]["tags"]["version"] >= first["version"]


@pytest.mark.parametrize("front", ["theirs", "ours"])
@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_seldons_client_predicts_and_teaches(answers: dict[str, Any], front: str, transport: str) -> None:
    done = answers["client"][front]
    for form in ("ndarray", "tensor"):
        got = done[f"{transport} {form}"]
        assert got["success"] and got["answer"]["data"]["names"] == ["on time", "late"]
    taught = done[f"{transport} feedback"]
    assert taught["success"] and taught["answer"]["meta"]["tags"]["outcome"] == "accepted"


@pytest.mark.parametrize("front", ["theirs", "ours"])
@pytest.mark.parametrize("way", ["rest", "grpc", "batches"])
@pytest.mark.parametrize("tester", ["tester", "deployed tester"])
def test_seldons_testers_are_content_with_the_contract_we_serve(
    answers: dict[str, Any], tester: str, front: str, way: str
) -> None:
    """`seldon-core-microservice-tester`, and `seldon-core-api-tester` through a gateway."""
    printed = answers[tester][front][way]
    assert "RECEIVED RESPONSE" in printed and "on time" in printed and "FAILURE" not in printed


def test_curl_sends_json_forms_and_multipart_forms(fronts: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    message = json.dumps({"jsonData": X, "meta": {"puid": "p"}})
    ways = (
        ["-H", "Content-Type: application/json", "-d", message],
        ["--data-urlencode", f"json={message}"],
        ["-G", "--data-urlencode", f"json={message}"],
        ["-F", f"jsonData={json.dumps(X)}", "-F", 'meta={"puid": "p"}'],
        ["-F", f"strData={json.dumps(X)}", "-F", 'meta={"puid": "p"}'],
    )
    for way in ways:
        theirs, ours = (
            json.loads(subprocess.check_output(["curl", "-sS", *way, url + "/predict"], timeout=60))
            for url in (fronts.seldon, fronts.ours)
        )
        assert theirs == ours and ours["meta"]["puid"] == "p", way


def test_seldons_server_ends_by_sigterm_without_grpc_workers(seldon_alone: subprocess.Popen[bytes]) -> None:
    seldon_alone.terminate()
    assert seldon_alone.wait(60) == 0
