"""The scorecard at the size of a commit, on real processes. `make soak` plays the same rounds at length.

Every random choice comes from `SEED`; a failure says what to run to see it again. A round in which nothing
landed proves nothing, so every test counts.
"""

import os
from pathlib import Path

import pytest
from apache_kafka import missing
from fire.redis_server import binary_of
from fire.row_pauses import STEPS
from fire.row_poison import POISON
from fire.row_starts import GUARDS
from fire.scorecard import play

SEED = int(os.environ.get("ODL_FAULT_SEED", "1"))

needs_redis = pytest.mark.skipif(
    binary_of("redis") is None, reason="no redis-server here: apt-get install it"
)


def test_kill_9_of_replica_consumer_and_redis_loses_and_doubles_nothing(tmp_path: Path) -> None:
    landed = play("R1", SEED, tmp_path)
    assert [landed[f"{victim} killed"] for victim in ("replica", "consumer", "redis")] == [2, 2, 2]
    assert landed["accepted"], "no feedback by REST"


@needs_redis
def test_kill_9_with_the_redis_of_debian(tmp_path: Path) -> None:
    landed = play("R1", SEED, tmp_path, count=3, product="redis")
    assert landed["redis killed"] == 1


@pytest.mark.xdist_group("apache kafka")
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_kill_9_of_a_real_kafka_loses_and_doubles_nothing(tmp_path: Path) -> None:
    landed = play("R1", SEED, tmp_path, count=4, kafka="apache")
    assert (landed["kafka killed"], landed["consumer killed"]) == (1, 1)


def test_history_that_redis_lost_is_filled_again_from_kafka(tmp_path: Path) -> None:
    landed = play("R2", SEED, tmp_path)
    assert [landed[f"redis {kind}"] for kind in ("cut", "older", "flushed")] == [1, 1, 1]
    assert landed["epoch raised"] + landed["refilled unseen"] == 3


@needs_redis
def test_history_that_the_redis_of_debian_lost_is_filled_again(tmp_path: Path) -> None:
    assert play("R2", SEED, tmp_path, count=1, product="redis")["epoch raised"] == 1


def test_predictions_and_feedback_over_three_replicas_are_linearizable(tmp_path: Path) -> None:
    landed = play("R5", SEED, tmp_path)
    assert landed["operations"] >= 3_000
    assert landed["replica paused"] >= 3


def test_stale_answers_are_found_by_the_check(tmp_path: Path) -> None:
    assert play("R5b", SEED, tmp_path)["found"] >= 50


def test_lost_and_late_replies_lose_and_double_nothing(tmp_path: Path) -> None:
    landed = play("R9", SEED, tmp_path)
    assert landed["replies dropped"] >= 10
    assert landed["replies delayed"] >= 10
    assert landed["events"] >= 1_500


def test_while_redis_is_away_the_policy_is_kept(tmp_path: Path) -> None:
    landed = play("R10", SEED, tmp_path)
    assert landed["refused"] and landed["stale"] and landed["feedback kept meanwhile"]


def test_while_kafka_is_away_predictions_go_on_and_feedback_is_refused(tmp_path: Path) -> None:
    landed = play("R11", SEED, tmp_path)
    assert landed["predicted meanwhile"] and landed["feedback refused"]


def test_a_replica_that_was_stopped_past_a_trim_rejoins_by_a_snapshot(tmp_path: Path) -> None:
    landed = play("R12", SEED, tmp_path)
    assert landed["rejoined"] == 1
    assert landed["trimmed"] >= 100


def test_what_a_paused_lock_holder_was_about_to_write_is_refused_at_each_step(tmp_path: Path) -> None:
    landed = play("R13", SEED, tmp_path)
    assert {f"stopped {step}" for step in STEPS} <= set(landed)
    assert landed["stale writes refused"] == len(STEPS)


def test_poison_is_kept_with_its_reason_and_the_rest_is_learned(tmp_path: Path) -> None:
    landed = play("R15", SEED, tmp_path)
    assert {kind for kind in POISON if not landed[kind]} <= {"huge"}
    assert landed["by REST"] > len(POISON)


def test_load_that_is_held_meets_no_error_no_backlog_and_no_growing_memory(tmp_path: Path) -> None:
    landed = play("R18", SEED, tmp_path)
    assert landed["predict 200"] >= 100
    assert landed["accepted"] >= 50, "feedback by REST"
    assert landed["events"] > landed["accepted"], "and by Kafka"


def test_five_cold_starts_at_once_serve_one_version(tmp_path: Path) -> None:
    assert play("R20", SEED, tmp_path)["started"] == 5


def test_servers_and_settings_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path) -> None:
    assert play("R22", SEED, tmp_path)["guards"] == len(GUARDS)
