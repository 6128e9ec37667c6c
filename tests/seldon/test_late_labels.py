"""Late labels with serving processes: asked here, taught there, and a replica that is killed in between."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec import to_builtins

from odl.event import Event, decode
from odl.redis_log import RedisLog

X = {"origin": "JFK", "distance": 1400}
PREDICT, FEEDBACK = "/api/v1.0/predictions", "/api/v1.0/feedback"


@pytest.fixture
def remembering(model_file: Path) -> Path:
    model_file.write_text(f"{model_file.read_text()}[remember]\nttl_s = 3600\n")
    return model_file


@pytest.fixture
def events(redis_client: redis.Redis, model_name: str) -> Callable[[], list[Event]]:
    log = RedisLog(redis_client, model_name)
    return lambda: [decode(entry.payload) for entry in log.read(0, 100).entries]


def label(puid: str) -> dict[str, object]:
    return {"request": {"meta": {"puid": puid}}, "truth": {"strData": "late"}}


def test_what_one_replica_answered_another_is_taught_at_once_and_once(
    remembering: Path, serve: Callable[..., Any], events: Callable[[], list[Event]]
) -> None:
    first, second = serve(), serve()
    for _ in range(20):  # the label comes as soon as the answer is there
        answer = first.post(PREDICT, {"jsonData": X}).json()
        taught = second.post(FEEDBACK, label(answer["meta"]["puid"]))
        assert taught.json()["meta"]["tags"]["outcome"] == "accepted", taught.text
        event = events()[-1]
        assert (event.x, event.version) == (X, answer["meta"]["tags"]["version"])
        assert to_builtins(event.prediction) == answer["jsonData"]
    assert (
        first.post(FEEDBACK, label(answer["meta"]["puid"])).json()["meta"]["tags"]["outcome"] == "duplicate"
    )
    assert second.post(FEEDBACK, label("nobody-asked")).status_code == 404


def test_a_replica_that_is_killed_after_its_answer_leaves_what_it_was_asked(
    remembering: Path, serve: Callable[..., Any], events: Callable[[], list[Event]]
) -> None:
    first, second = serve(), serve()
    puids = [first.post(PREDICT, {"jsonData": X}).json()["meta"]["puid"] for _ in range(5)]
    first.stop(signal.SIGKILL)
    for puid in puids:
        assert second.post(FEEDBACK, label(puid)).status_code == 200
    assert [(event.id, event.x, event.y) for event in events()] == [(puid, X, "late") for puid in puids]


def test_a_replica_that_stops_stores_its_last_answer(
    remembering: Path, serve: Callable[..., Any], events: Callable[[], list[Event]]
) -> None:
    first, second = serve(), serve()
    answer = first.post("/v2/models/" + remembering_name(remembering) + "/infer", infer()).json()
    first.stop()
    assert second.post(FEEDBACK, label(answer["id"])).status_code == 200
    [event] = events()
    assert event.x == X and event.prediction is not None


def remembering_name(model: Path) -> str:
    return model.read_text().split('"')[1]


def infer() -> dict[str, object]:
    return {
        "inputs": [
            {"name": "origin", "datatype": "BYTES", "shape": [1], "data": ["JFK"]},
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [1400]},
        ]
    }
