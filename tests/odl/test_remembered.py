"""Remembered predictions: one contract in memory and on a server; how they travel; what crashes leave."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hash_learner import HashLearner

from odl.actor import Actor, ReplicaSettings
from odl.embedded_redis import EmbeddedRedis
from odl.errors import HistoryLost, Unavailable
from odl.event import Event, encode
from odl.follower import Follower
from odl.log import Append
from odl.redis_connection import connect
from odl.redis_keys import RedisKeys
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions
from odl.remembered import MemoryPredictions, PredictionStore, Remembered

NewStore = Callable[..., PredictionStore]
DEADLINE_S = 60.0
ANSWERED = Remembered({"n": 1, "s": "é", "none": None, "big": 2**70}, {"no": 0.25, "yes": 0.75}, 7, 2)


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s until {what}"
        time.sleep(0.01)


@pytest.fixture(params=["memory", "redis"])
def new_store(request: pytest.FixtureRequest, redis_client: redis.Redis, model_name: str) -> NewStore:
    def make(ttl_s: float = 3600.0, records_max: int = 1_000) -> PredictionStore:
        if request.param == "memory":
            return MemoryPredictions(ttl_s=ttl_s, records_max=records_max)
        return RedisPredictions(redis_client, model_name, ttl_s=ttl_s, records_max=records_max)

    return make


def test_what_was_put_is_recalled_as_it_was(new_store: NewStore) -> None:
    store = new_store()
    store.put("p-1", ANSWERED)
    store.put("p-2", Remembered({"n": 2}, -3.5, 8, 2))
    store.flush()
    first, unknown, second = store.recall(["p-1", "p-9", "p-2"])
    assert first and second and unknown is None
    assert (first.record, first.is_late) == (ANSWERED, False)
    assert second.record.prediction == -3.5
    assert store.recall([]) == []


def test_an_id_that_was_predicted_under_again_means_its_last_prediction(new_store: NewStore) -> None:
    store = new_store()
    for version in (1, 2):
        store.put("p-1", Remembered({"n": version}, {"no": 0.5, "yes": 0.5}, version))
        store.flush()
    [found] = store.recall(["p-1"])
    assert found and found.record.version == 2


def test_the_last_ones_are_kept_and_older_ones_make_room(new_store: NewStore) -> None:
    store = new_store(records_max=16)
    for number in range(100):
        store.put(f"p-{number}", Remembered({"n": number}, 0.5, number))
        store.flush()
    found = store.recall([f"p-{number}" for number in range(100)])
    assert all(found[-16:]) and not any(found[:80])
    assert sum(each is not None for each in found) <= 16 + 2  # an eighth


def test_after_its_time_a_prediction_is_late_then_forgotten(new_store: NewStore) -> None:
    store = new_store(ttl_s=0.2)
    store.put("p-1", ANSWERED)
    store.flush()
    wait_until(lambda: all(found is None or found.is_late for found in store.recall(["p-1"])), "it is late")


def test_redis_forgets_by_itself_what_nobody_follows(redis_client: redis.Redis, model_name: str) -> None:
    store = RedisPredictions(redis_client, model_name, ttl_s=0.2, records_max=10)
    store.put("p-1", ANSWERED)
    store.flush()
    slots = RedisKeys(model_name).remembered[1:]
    wait_until(lambda: not redis_client.exists(*slots), "the slots expire")


def test_another_process_waits_for_an_answer_that_is_on_its_way(
    redis_client: redis.Redis, model_name: str
) -> None:
    asking = RedisPredictions(redis_client, model_name, ttl_s=60, records_max=10)
    asking.put("p-1", Remembered({"n": 1}))
    asking.flush()
    asking.put("p-1", ANSWERED)  # not stored yet
    other = RedisPredictions(redis_client, model_name, ttl_s=60, records_max=10)
    [here], [there] = asking.recall(["p-1"]), other.recall(["p-1"])
    assert here and here.record == ANSWERED
    assert there and there.record == Remembered({"n": 1})
    asking.flush()
    [there] = other.recall(["p-1"])
    assert there and there.record == ANSWERED


def test_what_cannot_be_read_is_damage(redis_client: redis.Redis, model_name: str) -> None:
    store = RedisPredictions(redis_client, model_name, ttl_s=60, records_max=10)
    redis_client.hset(RedisKeys(model_name).remembered[1], "p-1", b"junk")
    with pytest.raises(HistoryLost, match="p-1"):
        store.recall(["p-1"])


# How they travel


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(server.url)) as client:
        yield client


def store_and_log(client: redis.Redis) -> tuple[RedisPredictions, RedisLog]:
    store = RedisPredictions(client, "model", ttl_s=60, records_max=1_000)
    log = RedisLog(client, "model", predictions=store)
    log.create()
    return store, log


def test_remembering_costs_no_round_trip(client: redis.Redis) -> None:
    store, log = store_and_log(client)
    store.put("warm", ANSWERED)
    log.read(0, 10)  # the server learns both scripts

    def reads_of_socket(ids: list[str]) -> int:
        before = client.info("stats")["total_reads_processed"]
        for prediction_id in ids or [""] * 20:
            if prediction_id:
                store.put(prediction_id, ANSWERED)
            log.read(0, 10)
        return int(client.info("stats")["total_reads_processed"] - before)

    ids = [f"p-{number}" for number in range(20)]
    assert reads_of_socket(ids) == reads_of_socket([])
    assert all(store.recall(ids))


def test_many_rows_travel_at_once(client: redis.Redis) -> None:
    store, log = store_and_log(client)
    ids = [f"p-{number}" for number in range(900)]
    for prediction_id in ids:
        store.put(prediction_id, ANSWERED)
    log.read(0, 10)
    assert not store.has_news and all(store.recall(ids))


def test_a_server_that_forgot_the_scripts_is_told_them_again(client: redis.Redis) -> None:
    store, log = store_and_log(client)
    client.script_flush()
    store.put("p-1", ANSWERED)
    assert log.read(0, 10).head.version == 0
    assert store.recall(["p-1"])[0]


def test_what_redis_could_not_take_goes_along_later_and_predictions_do_not_suffer(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    store, log = store_and_log(client)
    client.config_set("maxmemory", 1)  # full: reads only
    store.put("p-1", ANSWERED)
    assert log.read(0, 10).head.version == 0
    client.config_set("maxmemory", 0)
    log.read(0, 10)
    assert RedisPredictions(client, "model", ttl_s=60, records_max=10).recall(["p-1"])[0]


def test_a_server_that_is_away_gets_it_when_it_is_back(server: EmbeddedRedis, tmp_path: Path) -> None:
    with contextlib.closing(connect(server.url, timeout_s=1.0)) as client:
        store, log = store_and_log(client)
        server.stop()
        store.put("p-1", ANSWERED)
        with pytest.raises(Unavailable):
            log.read(0, 10)
        with EmbeddedRedis(tmp_path, port=server.port):
            log.read(0, 10)
            assert store.recall(["p-1"])[0]


# A replica, step by step


def test_a_crash_at_any_step_after_the_answer_leaves_the_features(client: redis.Redis) -> None:
    store, log = store_and_log(client)
    follower = Follower(HashLearner, HashLearner.from_bytes, log, None)
    actor = Actor(follower, ReplicaSettings(), time.monotonic, store)
    event = Event("e-1", {"n": 1}, "yes", source="rest:test")
    log.append(Append(encode(event), event.id, event.source))
    request = actor.request([{"n": 5}], ids=["p-1"])
    actor.turn([request])
    answer = request.future.result(0)
    # A replica that is killed now has answered; another process finds what was asked.
    others = RedisPredictions(client, "model", ttl_s=60, records_max=10)
    [found] = others.recall(["p-1"])
    assert found and found.record == Remembered({"n": 5})
    # The next read of the log takes the answer along.
    assert store.has_news
    actor.turn([])
    [found] = others.recall(["p-1"])
    assert found and not store.has_news
    assert found.record == Remembered({"n": 5}, answer.predictions[0], answer.version, answer.epoch)
    assert answer.version == 1


def test_nobody_waits_for_an_answer_that_will_not_come(redis_client: redis.Redis, model_name: str) -> None:
    store = RedisPredictions(redis_client, model_name, ttl_s=3600, records_max=10)
    slot = RedisKeys(model_name).remembered[1]
    now_s, _ = redis_client.time()
    redis_client.hset(slot, "p-1", b'%d [{"n":1},null,0,0]' % ((now_s - 600) * 1000))
    _, are_young = store._look_up(["p-1"])
    [found] = store.recall(["p-1"])
    assert are_young == [False] and found and found.record == Remembered({"n": 1})
