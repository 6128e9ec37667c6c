"""Labels by Kafka with an id alone, on a real server: joined exactly, once, whatever crashes."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import redis

from odl.event import Event
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions
from odl.remembered import Remembered
from streaming.join import Join
from streaming.message import encode_value


class Scene:
    """A topic, a log on Valkey, and predictions that are remembered there."""

    def __init__(self, client: redis.Redis, name: str, new_stream: Callable[..., Any]) -> None:
        self.log = RedisLog(client, name)
        self.stream = new_stream(1, self.log)
        self.store = RedisPredictions(client, name, ttl_s=3600, records_max=10_000)

    def predict(self, *ids: str) -> None:
        for number, prediction_id in enumerate(ids):
            x = {"number": number, "id": prediction_id}
            self.store.put(prediction_id, Remembered(x, {"a": 0.25, "b": 0.75}, 3))
        self.store.flush()

    def label(self, prediction_id: str, truth: str | None = "a", **fields: Any) -> None:
        truths = {} if truth is None else {"truth": truth}
        self.stream.produce_raw(json.dumps({"id": prediction_id, **truths, **fields}).encode())

    def start(self, corrections: str = "learn", **settings: Any) -> Any:
        # The join looks into the log that can fail, too.
        join = Join(self.stream.log, self.store, corrections)  # type: ignore[arg-type]
        return self.stream.start(join=join, **settings)

    def dead(self) -> list[tuple[str, str]]:
        return [(json.loads(letter.value)["id"], letter.reason) for letter in self.stream.dead()]


@pytest.fixture
def scene(redis_client: redis.Redis, model_name: str, new_stream: Callable[..., Any]) -> Scene:
    return Scene(redis_client, model_name, new_stream)


def test_labels_enter_the_log_with_what_was_asked_and_answered(scene: Scene) -> None:
    scene.predict("p-0", "p-1")
    scene.label("p-1", "b", time_ms=5, weight=2.0)
    scene.start()
    scene.stream.wait_for_version(1)
    [event] = scene.stream.log.events()
    assert (event.id, event.x, event.y) == ("p-1", {"number": 1, "id": "p-1"}, "b")
    assert (event.version, event.prediction) == (3, {"a": 0.25, "b": 0.75})
    assert (event.time_ms, event.weight, event.seq) == (5, 2.0, "0")
    assert event.source.startswith("kafka:")


def test_what_cannot_be_joined_is_a_dead_letter_and_twice_is_a_duplicate(
    scene: Scene, wait_until: Callable[..., None]
) -> None:
    scene.predict("p-0", "p-1")
    for prediction_id in (
        "p-0",
        "p-9",
        "p-0",
        "018bcfe5-too-short",
        "018bcfe5680070000000000000000000",
        "p-1",
    ):
        scene.label(prediction_id)
    scene.label("p-1", "unknown")
    scene.stream.produce_raw(b'{"id": "p-1", "truth": []}')
    scene.stream.produce_raw(b'{"id": "p-1", "x": {"n": 1}, "y": "a", "corrects": 1}')
    running = scene.start()
    wait_until(lambda: running.consumer.stats().dead_letters == 6, "six dead letters")
    assert scene.stream.log.ids() == ["p-0", "p-1"]
    assert running.consumer.stats().duplicates == 1
    assert scene.dead() == [
        ("p-9", "UNKNOWN"),
        ("018bcfe5-too-short", "UNKNOWN"),
        ("018bcfe5680070000000000000000000", "EXPIRED"),  # its id says that it was made in 2023
        ("p-1", "BAD_LABEL"),
        ("p-1", "BAD_FIELD"),
        ("p-1", "BAD_FIELD"),
    ]


def test_a_label_whose_prediction_is_forgotten_but_learned_is_a_duplicate(
    scene: Scene, wait_until: Callable[..., None], redis_client: redis.Redis
) -> None:
    scene.predict("p-0")
    scene.label("p-0")
    running = scene.start()
    scene.stream.wait_for_version(1)
    redis_client.delete(*redis_client.keys(f"{{odl:{scene.log._name}}}:remembered*"))
    scene.label("p-0")
    scene.stream.flush()
    wait_until(lambda: running.consumer.stats().duplicates == 1, "a duplicate")
    assert scene.stream.log.ids() == ["p-0"]
    assert "1" in scene.stream.log.positions().values()


def test_corrections_in_one_batch_follow_what_they_correct(scene: Scene) -> None:
    scene.predict("p-0", "p-1")
    scene.label("p-0", "a")
    scene.label("p-0", "b", corrects=True)
    scene.label("p-1", "a")
    scene.label("p-1", None, retracts=True)
    scene.label("p-0", "a", corrects=2)
    scene.stream.produce_raw(encode_value(Event("e-1", {"n": 1}, "a")))
    scene.start()
    scene.stream.wait_for_version(6)
    events = scene.stream.log.events()
    assert [event.id for event in events] == ["p-0", "p-0/c1", "p-1", "p-1/r", "p-0/c2", "e-1"]
    assert [(event.corrects, event.retracts) for event in events] == [
        (0, 0),
        (1, 0),
        (0, 0),
        (0, 3),
        (1, 0),
        (0, 0),
    ]


def test_corrections_are_dead_letters_where_the_model_file_refuses_them(
    scene: Scene, wait_until: Callable[..., None]
) -> None:
    scene.predict("p-0")
    scene.label("p-0", "a")
    scene.label("p-0", "b", corrects=True)
    running = scene.start("refuse")
    wait_until(lambda: running.consumer.stats().dead_letters == 1, "a dead letter")
    assert scene.dead() == [("p-0", "CORRECTION_REFUSED")]


def test_crashes_and_lost_replies_lose_and_double_no_label(scene: Scene) -> None:
    ids = [f"p-{number}" for number in range(600)]
    scene.predict(*ids)
    for prediction_id in ids:
        scene.label(prediction_id)
        if int(prediction_id[2:]) % 100 == 99:
            scene.label(prediction_id, "b", corrects=True)
    random.seed(3)
    log = scene.stream.log
    for _ in range(3):
        log.script = [*random.sample([log.lost_reply, log.half, log.away], 3), log.crash]
        crashed = scene.start(batch_max=random.randint(20, 60))
        crashed.join()
        assert str(crashed.error) == "a bug"
    scene.start()
    scene.stream.wait_for_version(606)
    found = log.events()
    assert [event.id for event in found if not event.corrects] == ids
    assert [event.id for event in found if event.corrects] == [f"p-{n}/c1" for n in range(99, 600, 100)]
    assert all(event.x["id"] == event.id.partition("/")[0] for event in found)


def test_a_gap_in_the_middle_of_a_batch_leaves_out_nothing(
    scene: Scene, wait_until: Callable[..., None]
) -> None:
    """The log loses its tail while a batch that is cut by corrections is under way."""
    ids = [f"p-{number}" for number in range(30)]
    scene.predict(*ids)
    for prediction_id in ids[:10]:
        scene.label(prediction_id)
    running = scene.start()
    scene.stream.wait_for_version(10)
    redis_client = scene.log._client
    redis_client.delete(
        *(key for key in redis_client.keys(f"{{odl:{scene.log._name}}}*") if b"remembered" not in key)
    )
    scene.log.create()
    for prediction_id in ids[10:]:
        scene.label(prediction_id)
        scene.label(prediction_id, "b", corrects=True)
    scene.stream.flush()
    wait_until(lambda: {f"{i}/c1" for i in ids[10:]} | set(ids) <= set(scene.stream.log.ids()), "everything")
    assert len(scene.stream.log.ids()) == 50
    assert running.error is None
