"""Replicas show the drifts and challengers that are recorded in Redis."""

import redis
from prometheus_client import CollectorRegistry, generate_latest

from odl.challenger import ChallengerRecord, RedisChallengers
from odl.drift import ERROR, Drift, DriftRecord, Trigger
from odl.drift_store import COUNTS_MAX, OTHER, RedisDrifts, with_drifts, with_trigger
from seldon.drift_marks import DriftMarks


def drift(field: str) -> Drift:
    return Drift(version=7, field=field, series="value", detector="adwin", before=0.1, after=0.4)


def shown(marks: DriftMarks) -> str:
    registry = CollectorRegistry()
    registry.register(marks)
    return generate_latest(registry).decode()


def test_drifts_triggers_and_challengers_are_shown(redis_client: redis.Redis, model_name: str) -> None:
    drifts, challengers = RedisDrifts(redis_client, model_name), RedisChallengers(redis_client, model_name)
    marks = DriftMarks(drifts, challengers)
    marks.look()
    assert shown(marks) == ""
    found = [drift(ERROR), drift("city"), drift("city")]
    record = with_drifts(DriftRecord(log_id="log", seen=9), found, [("size", "adwin"), ("city", "adwin")])
    trigger = Trigger(drift=drift(ERROR), action="retrain", version=8, time_ms=0, state="done")
    drifts.save(with_trigger(record, trigger))
    challengers.publish(
        ChallengerRecord(
            name="wide",
            origin="wide.toml",
            after=0,
            since=1,
            version=9,
            events=8,
            fold_id="f",
            challenger={"log_loss": 0.25},
            champion={"log_loss": 0.5},
            challenger_recent={},
            champion_recent={},
            beat_ms=0,
        )
    )
    marks.look()
    text = shown(marks)
    assert 'odl_drift_events_total{detector="adwin",field="(error)"} 1.0' in text
    assert 'odl_drift_events_total{detector="adwin",field="city"} 2.0' in text
    assert 'odl_drift_events_total{detector="adwin",field="size"} 0.0' in text
    assert 'odl_drift_triggers{action="retrain",state="done"} 1.0' in text
    assert "odl_drift_observed_version 9.0" in text
    assert 'odl_challenger_score{challenger="wide",of="champion",score="log_loss"} 0.5' in text
    challengers.remove("wide")
    marks.look()
    assert "odl_challenger_score" not in shown(marks)


def test_names_that_senders_make_up_share_one_label() -> None:
    record = with_drifts(DriftRecord(), [drift(f"f{number}") for number in range(COUNTS_MAX + 50)])
    assert len(record.counts) == COUNTS_MAX + 1
    assert (OTHER, "adwin", 50) in record.counts
