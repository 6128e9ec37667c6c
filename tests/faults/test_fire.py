"""The scorecard at the size of a commit, on real processes. `make soak` plays the same rounds at length.

Every random choice comes from `SEED`; a failure says what to run to see it again. A round in which nothing
landed proves nothing, so every test counts; the run ends with a table of what landed.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_kafka import missing
from fire.redis_server import binary_of
from fire.row_holders import STEPS
from fire.row_poison import POISON
from fire.row_starts import GUARDS
from fire.row_threads import histories
from fire.scorecard import ROWS, play, size_of
from seldom import seldom_reading_replica

SEED = int(os.environ.get("ODL_FAULT_SEED", "1"))

needs_redis = pytest.mark.skipif(
    binary_of("redis") is None, reason="no redis-server here: apt-get install it"
)
Play = Callable[..., Counter[str]]


@pytest.fixture
def under_fire(tmp_path: Path, record_property: Callable[[str, object], None]) -> Play:
    """Plays a round at the size of a commit; what landed, which the end of the run shows."""

    def play_round(name: str, **sizes: Any) -> Counter[str]:
        landed = play(name, SEED, tmp_path, **sizes)
        record_property("landed", (name, ROWS[name].title, size_of(name, sizes), dict(landed)))
        return landed

    return play_round


def test_kill_9_of_replica_consumer_and_redis_loses_and_doubles_nothing(under_fire: Play) -> None:
    landed = under_fire("R1")
    assert [landed[f"{victim} killed"] for victim in ("replica", "consumer", "redis")] == [20, 20, 20]
    assert landed["events"] >= 50_000
    assert landed["accepted"], "no feedback by REST"


@needs_redis
def test_kill_9_with_the_redis_of_debian(under_fire: Play) -> None:
    assert under_fire("R1", count=6, events=1_000, product="redis")["redis killed"] == 2


@pytest.mark.xdist_group("apache kafka")
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_kill_9_of_a_real_kafka_loses_and_doubles_nothing(under_fire: Play) -> None:
    landed = under_fire("R1", count=4, events=1_000, kafka="apache")
    assert (landed["kafka killed"], landed["consumer killed"]) == (1, 1)


def test_history_that_redis_lost_is_filled_again_from_kafka(under_fire: Play) -> None:
    landed = under_fire("R2")
    assert [landed[f"redis {kind}"] for kind in ("cut", "older", "flushed", "failed over")] == [5, 5, 5, 5]
    assert landed["epoch raised"] + landed["refilled unseen"] == 20


@needs_redis
def test_history_that_the_redis_of_debian_lost_is_filled_again(under_fire: Play) -> None:
    landed = under_fire("R2", count=4, product="redis")
    assert landed["epoch raised"] + landed["refilled unseen"] == 4


def test_predictions_and_feedback_over_three_replicas_are_linearizable(under_fire: Play) -> None:
    landed = under_fire("R5")
    assert landed["histories"] == 50
    assert landed["operations"] >= 50 * 5_000
    assert landed["replica paused"] >= 100
    assert landed["replies dropped"] and landed["replies delayed"]


def test_stale_answers_are_found_by_the_check(under_fire: Play) -> None:
    assert under_fire("R5b")["found"] >= 50


def test_a_replica_that_reads_the_log_too_seldom_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="violations, such as"):
        histories(SEED, tmp_path, count=20, operations=2_000, make=seldom_reading_replica)


def test_damaged_snapshots_are_found_and_the_previous_one_is_used(under_fire: Play) -> None:
    landed = under_fire("R7")
    assert [landed[f"snapshot {kind}"] for kind in ("flipped", "truncated", "swapped")] == [1_000, 500, 500]


def test_a_damaged_log_is_found_at_the_exact_version(under_fire: Play) -> None:
    assert under_fire("R8")["damages"] == 500


def test_lost_and_late_replies_lose_and_double_nothing(under_fire: Play) -> None:
    landed = under_fire("R9")
    assert landed["replies dropped"] >= 50
    assert landed["replies delayed"] >= 50
    assert landed["events"] >= 20_000


def test_while_redis_is_away_the_policy_is_kept(under_fire: Play) -> None:
    landed = under_fire("R10")
    assert landed["refused"] and landed["stale"] and landed["feedback kept meanwhile"]


def test_while_kafka_is_away_predictions_go_on_and_feedback_is_refused(under_fire: Play) -> None:
    landed = under_fire("R11")
    assert landed["predicted meanwhile"] and landed["feedback refused"]


def test_a_replica_that_was_stopped_past_a_trim_rejoins_by_a_snapshot(under_fire: Play) -> None:
    landed = under_fire("R12")
    assert landed["rejoined"] == 1
    assert landed["trimmed"] >= 100


def test_what_a_paused_lock_holder_was_about_to_write_is_refused_at_each_step(under_fire: Play) -> None:
    landed = under_fire("R13")
    steps = {f"{task} stopped {step}" for task, steps in STEPS.items() for step in steps}
    assert steps <= set(landed)
    assert landed["stale writes refused"] == len(steps)


def test_poison_is_kept_with_its_reason_and_the_rest_is_learned(under_fire: Play) -> None:
    landed = under_fire("R15")
    assert {kind for kind in POISON if not landed[kind]} <= {"huge"}
    assert landed["by REST"] > len(POISON)
    assert landed["good"] + landed["bad"] == 20_000


def test_of_operators_who_decide_under_load_one_wins(under_fire: Play) -> None:
    landed = under_fire("R17")
    assert landed["decisions"] == 10
    assert landed["promote won"] and landed["rollback won"]


def test_load_that_is_held_meets_no_error_no_backlog_and_no_growing_memory(under_fire: Play) -> None:
    landed = under_fire("R18")
    assert landed["predict 200"] >= 100
    assert landed["accepted"] >= 50, "feedback by REST"
    assert landed["events"] > landed["accepted"], "and by Kafka"


def test_five_cold_starts_at_once_serve_one_version(under_fire: Play) -> None:
    assert under_fire("R20")["started"] == 5


def test_servers_and_settings_that_do_not_fit_are_refused_with_the_reason(under_fire: Play) -> None:
    assert under_fire("R22")["guards"] == len(GUARDS)
