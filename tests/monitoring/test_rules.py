"""The rules by promtool, Prometheus' own tool: each alert fires when it should and only then."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitored import MONITORING

R, C = 'job="odl",instance="r1"', 'job="odl-consumer",instance="c1"'
WINDOW = f'{{{R},over="window"}}'


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def quality(loss: str, events: str = "1000x120") -> list[dict[str, str]]:
    return [
        series("odl_recent_log_loss", f'{R},over="window"', loss),
        series("odl_recent_base_rate_log_loss", f'{R},over="window"', "0.69x120"),
        series("odl_recent_events", f'{R},over="window"', events),
    ]


def predicting(failures: str) -> list[dict[str, str]]:
    return [
        series("odl_failures_total", f'{R},status="503",reason="UNAVAILABLE"', failures),
        series("odl_request_seconds_count", f'{R},kind="predict"', "0+6000x120"),
    ]


def consuming(dead: str) -> list[dict[str, str]]:
    return [
        series("odl_consumer_events_total", f'{C},outcome="dead_letters"', dead),
        series("odl_consumer_events_total", f'{C},outcome="accepted"', "0+6000x120"),
    ]


def feedback(head: str) -> list[dict[str, str]]:
    return [
        series("odl_predictions_total", f'{R},outcome="fresh",source="seldon"', "0+600x180"),
        series("odl_log_head_version", R, head),
    ]


def slow(slow_ones: str) -> list[dict[str, str]]:
    kind = f'{R},kind="predict"'
    return [
        series("odl_request_seconds_bucket", f'{kind},le="0.25"', "0+100x120"),
        series("odl_request_seconds_bucket", f'{kind},le="0.5"', slow_ones),
        series("odl_request_seconds_bucket", f'{kind},le="+Inf"', slow_ones),
    ]


def one(name: str, labels: str = R) -> Callable[[str], list[dict[str, str]]]:
    return lambda values: [series(name, labels, values)]


# Alert -> the minute of evaluation, what makes it fire by then, what must not; one value a minute.
CASES: dict[str, tuple[int, list[dict[str, str]], list[list[dict[str, str]]]]] = {
    "OdlQualityBelowBaseline": (
        20,
        quality("0.3x5 0.9x120"),
        [quality("0.6x120"), quality("0.3x17 0.9x120"), quality("0.9x120", "150x120")],
    ),
    "OdlDrift": (
        20,
        one("odl_drift_events_total", f'{R},field="distance",detector="ADWIN"')("0x10 1x120"),
        [one("odl_drift_events_total", f'{R},field="distance",detector="ADWIN"')("3x120")],
    ),
    "OdlInputsShifted": (
        20,
        one("odl_feature_psi", f'{R},field="distance"')("0.4x120"),
        [one("odl_feature_psi", f'{R},field="distance"')("0.2x120")],
    ),
    "OdlPredictionsShifted": (
        20,
        one("odl_prediction_psi", f'{R},of="confidence"')("0.4x120"),
        [one("odl_prediction_psi", f'{R},of="confidence"')("0.2x120")],
    ),
    "OdlNoFeedback": (100, feedback("500x180"), [feedback("500+1x180")]),
    "OdlReplicaLagging": (
        10,
        one("odl_replica_lag_seconds")("0 60 120 180 240 300 360 420 480 540 600"),
        [one("odl_replica_lag_seconds")("0.02x20"), one("odl_replica_lag_seconds")("0.02x9 30x3")],
    ),
    "OdlReplicaNotReady": (20, one("odl_replica_ready")("0x120"), [one("odl_replica_ready")("0x3 1x120")]),
    "OdlDiverged": (5, one("odl_replicas_diverged")("0x3 1x120"), [one("odl_replicas_diverged")("0x120")]),
    "OdlEpochRaised": (
        20,
        one("odl_replica_epoch")("1x10 2x120"),
        [one("odl_replica_epoch")("0x3 1x120"), one("odl_replica_epoch")("7x120")],
    ),
    "OdlPredictionsRefused": (20, predicting("0+200x120"), [predicting("0+20x120")]),
    "OdlSlow": (30, slow("0+110x120"), [slow("0+100x120")]),
    "OdlSnapshotTooOld": (
        20,
        one("odl_snapshot_behind")("60000x120"),
        [one("odl_snapshot_behind")("9000x120")],
    ),
    "OdlRedisAway": (5, one("odl_redis_up")("1 0x120"), [one("odl_redis_up")("1x120")]),
    "OdlRedisNearlyFull": (
        10,
        one("odl_log_limit_used_ratio")("0.95x120"),
        [one("odl_log_limit_used_ratio")("0.5x120")],
    ),
    "OdlDeadLetters": (20, consuming("0+300x120"), [consuming("0+6x120")]),
    "OdlKafkaLag": (
        20,
        one("odl_kafka_lag", f'{C},partition="0"')("20000x120"),
        [one("odl_kafka_lag", f'{C},partition="0"')("50x120")],
    ),
}


def unit_test(alert: str, minute: int, inputs: list[dict[str, str]], labels: dict[str, str] | None) -> Any:
    """promtool's form of: with these series, at this minute, the alert fires with `labels` or not at all."""
    expected = [] if labels is None else [{"exp_labels": labels}]
    rule_test: dict[str, Any] = {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": expected}
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": [rule_test]}


def labels_of(alert: str, inputs: list[dict[str, str]], severity: str) -> dict[str, str]:
    """What the alert carries: its severity, and the labels of its series that its expression keeps."""
    kept = {"OdlReplicaLagging": ("job", "instance"), "OdlReplicaNotReady": ("job", "instance")}
    kept |= {"OdlDrift": ("job", "field", "detector"), "OdlInputsShifted": ("job", "field")}
    kept |= {"OdlPredictionsShifted": ("job", "of"), "OdlKafkaLag": ("job", "partition")}
    found = dict(
        pair.split("=") for pair in inputs[0]["series"].split("{")[1].rstrip("}").replace('"', "").split(",")
    )
    return {name: found[name] for name in kept.get(alert, ("job",))} | {"severity": severity}


@pytest.fixture
def rule_file(rule_groups: dict[str, Any], tmp_path: Path) -> Path:
    """The rules without annotations, whose texts would have to be repeated in every test."""
    plain = yaml.safe_load(yaml.safe_dump(rule_groups))
    for group in plain["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def test_every_alert_has_a_case(rule_groups) -> None:
    alerts = {rule["alert"] for group in rule_groups["groups"] for rule in group["rules"] if "alert" in rule}
    assert alerts == set(CASES)


def test_promtool_accepts_the_rules_with_their_annotations(tool, rule_groups, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule_groups))
    done = subprocess.run([tool("promtool"), "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_alert_fires_when_it_should_and_only_then(tool, rule_file: Path, rule_groups) -> None:
    rules = [rule for group in rule_groups["groups"] for rule in group["rules"] if "alert" in rule]
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules}
    tests = []
    for alert, (minute, firing, quiet) in CASES.items():
        tests.append(unit_test(alert, minute, firing, labels_of(alert, firing, severities[alert])))
        tests += [unit_test(alert, minute, inputs, None) for inputs in quiet]
    path = rule_file.with_name("tests.yaml")
    path.write_text(
        yaml.safe_dump({"rule_files": [rule_file.name], "evaluation_interval": "1m", "tests": tests})
    )
    command = [tool("promtool"), "test", "rules", path.name]
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_accepts_the_configuration_of_alertmanager(tool) -> None:
    command = [tool("amtool"), "check-config", str(MONITORING / "alertmanager.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
