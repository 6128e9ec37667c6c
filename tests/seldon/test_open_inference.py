"""The Open Inference Protocol: over real HTTP, and what its tensors may look like."""

import json
from typing import Any

import httpx
import pytest

from odl.errors import InvalidEvent
from odl.mailbox import Answer
from seldon.open_inference import inference_answer, read_inference

ORIGIN = {"name": "origin", "shape": [2], "datatype": "BYTES", "data": ["JFK", "EWR"]}
DISTANCE = {"name": "distance", "shape": [2, 1], "datatype": "FP32", "data": [[1400], [200.5]]}
MODEL = "/v2/models/shared"


def rows(*inputs: dict[str, Any], names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return read_inference(json.dumps({"inputs": inputs}).encode(), names).request.rows


def test_health_server_and_model(shared_server) -> None:
    assert shared_server.get("/v2/health/live").json() == {"live": True}
    assert shared_server.get("/v2/health/ready").json() == {"ready": True}
    assert shared_server.get("/v2").json()["name"] == "odl"
    model = shared_server.get(MODEL).json()
    assert (model["name"], model["platform"]) == ("shared", "odl")
    assert model["inputs"] == [
        {"name": "origin", "datatype": "BYTES", "shape": [-1]},
        {"name": "distance", "datatype": "FP64", "shape": [-1]},
    ]
    assert [output["name"] for output in model["outputs"]] == ["probabilities", "classes", "label"]
    for base in (MODEL, f"{MODEL}/versions/{model['versions'][0]}"):
        assert shared_server.get(base).json() == model
        assert shared_server.get(f"{base}/ready").json() == {"name": "shared", "ready": True}


def test_it_predicts_what_seldons_protocol_predicts(shared_server) -> None:
    version = shared_server.get(MODEL).json()["versions"][0]
    question = {"id": "p-1", "inputs": [ORIGIN, DISTANCE]}
    answer = shared_server.post(f"{MODEL}/versions/{version}/infer", question).json()
    theirs = shared_server.post("/predict", {"data": {"ndarray": [["JFK", 1400], ["EWR", 200.5]]}}).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("shared", version, "p-1")
    assert answer["parameters"] == {"puid": "p-1", **theirs["meta"]["tags"]}
    flat = [value for row in theirs["data"]["ndarray"] for value in row]
    assert outputs["probabilities"]["data"] == flat and outputs["probabilities"]["shape"] == [2, 2]
    assert outputs["classes"]["data"] == theirs["data"]["names"]
    likeliest = [theirs["data"]["names"][row.index(max(row))] for row in theirs["data"]["ndarray"]]
    assert outputs["label"]["data"] == likeliest


def test_only_the_outputs_that_are_wanted(shared_server) -> None:
    question = {"inputs": [ORIGIN], "outputs": [{"name": "label"}]}
    answer = shared_server.post(f"{MODEL}/infer", question).json()
    assert [output["name"] for output in answer["outputs"]] == ["label"] and len(answer["id"]) == 32


def test_its_id_is_the_id_of_feedback_and_min_version_reads_ones_writes(serve) -> None:
    server = serve()
    model = f"/v2/models/{server.get('/metadata').json()['name']}/infer"
    puid = server.post(model, {"inputs": [ORIGIN]}).json()["id"]
    truth = {"request": {"jsonData": {"origin": "JFK"}, "meta": {"puid": puid}}, "truth": {"strData": "late"}}
    version = server.post("/api/v1.0/feedback", truth).json()["meta"]["tags"]["version"]
    asked = {"inputs": [ORIGIN], "parameters": {"min_version": version}}
    assert server.post(model, asked).json()["parameters"]["version"] == version == 1
    late = server.post(model, {**asked, "parameters": {"min_version": version + 1}})
    assert late.status_code == 503 and "expected version 2" in late.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", f"{MODEL}/infer", b"{", 400),
        ("POST", f"{MODEL}/infer", b"{}", 400),
        ("POST", f"{MODEL}/infer", b'{"inputs":[]}', 400),
        ("POST", f"{MODEL}/infer", b" " * (1 << 20) + b"{}", 413),
        ("POST", f"{MODEL}/infer", json.dumps({"inputs": [{**ORIGIN, "name": "gate"}]}).encode(), 422),
        (
            "POST",
            f"{MODEL}/infer",
            json.dumps({"inputs": [ORIGIN], "outputs": [{"name": "x"}]}).encode(),
            400,
        ),
        ("POST", "/v2/models/other/infer", b"{}", 404),
        ("GET", f"{MODEL}/versions/other", b"", 404),
        ("GET", f"{MODEL}/infer", b"", 405),
    ],
)
def test_errors_have_its_form(shared_server, method: str, path: str, body: bytes, status: int) -> None:
    answer = httpx.request(method, shared_server.url + path, content=body, timeout=30)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


def test_tensors_are_columns_or_one_table() -> None:
    expected = [{"origin": "JFK", "distance": 1400}, {"origin": "EWR", "distance": 200.5}]
    assert rows(ORIGIN, DISTANCE) == expected
    table = {"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]}
    assert rows(table, names=("a", "b", "c")) == [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 6}]
    assert rows({**table, "data": [[1, 2, 3], [4, 5, 6]]}, names=("a", "b", "c"))[1] == {
        "a": 4,
        "b": 5,
        "c": 6,
    }
    assert rows({"name": "f", "shape": [2], "datatype": "BOOL", "data": [True, None]}) == [
        {"f": True},
        {"f": None},
    ]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([{**ORIGIN, "shape": [3]}], "BAD_SHAPE"),
        ([{**ORIGIN, "shape": [-1, -2]}], "BAD_SHAPE"),
        ([{**ORIGIN, "shape": [2, 1, 1]}], "BAD_SHAPE"),
        ([{**ORIGIN, "shape": []}], "BAD_SHAPE"),
        ([{**ORIGIN, "shape": [1, 2]}], "BAD_SHAPE"),
        ([ORIGIN, {**DISTANCE, "shape": [1], "data": [1]}], "BAD_SHAPE"),
        ([ORIGIN, ORIGIN], "BAD_NAME"),
        ([{**ORIGIN, "data": ["JFK", 1]}], "BAD_DATATYPE"),
        ([{**ORIGIN, "datatype": "INT64", "data": [1, 1.5]}], "BAD_DATATYPE"),
        ([{**ORIGIN, "datatype": "INT64", "data": [1, True]}], "BAD_DATATYPE"),
        ([{**ORIGIN, "datatype": "STRING"}], "MALFORMED"),
        ([{**ORIGIN, "shape": [0], "data": []}], "EMPTY"),
        ([{"name": "x", "shape": [1001], "datatype": "BOOL", "data": [True] * 1001}], "TOO_MANY"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(inputs: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        rows(*inputs)
    assert caught.value.reason == reason and caught.value.status == 400


def test_a_regression_answers_one_number_a_row() -> None:
    asked = read_inference(json.dumps({"inputs": [DISTANCE]}).encode())
    answer = inference_answer("m", "v", asked, Answer([1.5, 2.5], 7, 1, True))
    assert answer["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [2], "data": [1.5, 2.5]}]
    assert (answer["parameters"]["version"], answer["parameters"]["stale"]) == (7, True)
