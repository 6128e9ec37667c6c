"""Where Seldon is wrong, or cannot do better: both sides of each line of the list in docs/SELDON.md."""

import json
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("seldon-core")  # Seldon's server takes long to start: once
X = {"origin": "JFK", "distance": 1400}


def feedback(puid: str, label: str = "late") -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/predict", 405), ("GET", "/send-feedbacks", 404)],
)
def test_difference_what_is_not_there_is_no_fault_of_the_server(
    fronts: Any, method: str, path: str, status: int
) -> None:
    theirs, ours = (httpx.request(method, url + path, timeout=30) for url in (fronts.seldon, fronts.ours))
    assert (theirs.status_code, ours.status_code) == (500, status)


def test_difference_only_we_speak_the_open_inference_protocol(fronts: Any) -> None:
    theirs, ours = (httpx.get(url + "/v2/health/ready", timeout=30) for url in (fronts.seldon, fronts.ours))
    assert (theirs.status_code, ours.status_code) == (500, 200)


def test_difference_json_needs_no_content_type(fronts: Any) -> None:
    body = json.dumps({"jsonData": X}).encode()
    theirs, ours = (
        httpx.post(url + "/predict", content=body, timeout=30) for url in (fronts.seldon, fronts.ours)
    )
    assert (theirs.status_code, ours.status_code) == (500, 200)


def test_difference_what_is_not_json_has_our_form_of_failure(fronts: Any) -> None:
    head = {"content-type": "application/json"}
    theirs, ours = (
        httpx.post(url + "/predict", content=b"{", headers=head, timeout=30).json()["status"]
        for url in (fronts.seldon, fronts.ours)
    )
    assert (theirs["code"], theirs["reason"]) == (-1, "MICROSERVICE_BAD_DATA")
    assert (ours["code"], ours["reason"]) == (400, "MALFORMED")


def test_difference_versions_in_answers_to_feedback_are_whole_numbers(fronts: Any) -> None:
    theirs, ours = fronts.both("/api/v1.0/feedback", feedback("whole"))
    assert isinstance(theirs.json()["meta"]["tags"]["version"], float)
    assert isinstance(ours.json()["meta"]["tags"]["version"], int)


def test_difference_metadata_tells_version_and_fields(fronts: Any) -> None:
    theirs, ours = (httpx.get(url + "/metadata", timeout=30).json() for url in (fronts.seldon, fronts.ours))
    assert (theirs["versions"], theirs["inputs"]) == ([""], [])
    assert len(ours["versions"][0]) > 8 and ours["inputs"][0]["schema"]["names"] == list(X)


@pytest.mark.parametrize(
    "name", ["unknown feature", "not finite", "no data", "empty feedback", "reward alone"]
)
def test_difference_a_refusal_by_grpc_is_a_status(answers: dict[str, Any], name: str) -> None:
    theirs, ours = (answers["questions"][front][name] for front in ("theirs", "ours"))
    status = theirs["answer"]["status"]  # the call itself succeeds
    assert status["status"] == "FAILURE" and status["code"] in (400, 422)
    assert ours == {"code": "INVALID_ARGUMENT", "details": status["info"], "reason": status["reason"]}


def test_difference_what_is_no_message_is_the_clients_mistake(answers: dict[str, Any]) -> None:
    theirs, ours = (answers["questions"][front]["not a message"] for front in ("theirs", "ours"))
    assert (theirs["code"], ours["code"]) == ("INTERNAL", "INVALID_ARGUMENT")


def test_difference_grpc_metadata_counts(answers: dict[str, Any]) -> None:
    theirs, ours = (answers["lessons"][front]["keyed"]["answer"] for front in ("theirs", "ours"))
    assert theirs["status"]["reason"] == "NO_ID"
    assert ours["meta"]["puid"] == "ours-key"


def test_difference_seldons_client_sees_a_refusal_by_grpc_as_success(answers: dict[str, Any]) -> None:
    theirs, ours = (answers["client"][front]["grpc reward alone"] for front in ("theirs", "ours"))
    assert theirs["success"] and theirs["answer"]["status"]["reason"] == "NO_TRUTH"
    assert not ours["success"]


def test_difference_what_seldons_wrapper_makes_of_bad_requests_to_a_plain_class(
    answers: dict[str, Any], fronts: Any
) -> None:
    wrapper = answers["wrapper"]
    assert wrapper["empty feedback"]["status"] == wrapper["reward alone"]["status"] == 200
    assert wrapper["tensor that does not fit"]["status"] == 500
    assert (
        wrapper["not finite"]["status"] == 200 and "NaN" in wrapper["not finite"]["text"]
    )  # which is not JSON
    assert wrapper["nowhere"]["status"] == 500
    assert httpx.post(fronts.ours + "/send-feedback", json={}, timeout=30).status_code == 400
    for body in (b'{"data":{"tensor":{"shape":[2,2],"values":[1,2,3]}}}', b'{"data":{"ndarray":[[1,NaN]]}}'):
        assert httpx.post(fronts.ours + "/predict", content=body, timeout=30).status_code == 400
