"""What the document, the dashboard and the rules name is what a running replica and consumer export."""

import json
import re
from typing import Any

from monitored import MONITORING, ROOT

DOCUMENT = (ROOT / "docs" / "MONITORING.md").read_text()
SUFFIXES = ("_total", "_bucket", "_count", "_sum")
ELSEWHERE = {  # exported once somebody looked for drift, or ran a challenger
    "odl_drift_events_total",
    "odl_drift_triggers",
    "odl_drift_observed_version",
    "odl_challenger_score",
}


def family(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


def used_in(expression: str) -> set[str]:
    """The names of metrics in an expression of PromQL (those of recording rules have colons)."""
    names = re.findall(r"(?<![\w:])(?:odl|process)_\w+(?![\w:])", expression)
    return {name if name in ELSEWHERE else family(name) for name in names}


def test_the_document_names_exactly_what_is_exported(deployment) -> None:
    documented = dict(re.findall(r"^\| `(odl_\w+)` \| (\w+) \|", DOCUMENT, re.MULTILINE))
    exported = {name: kind for name, kind in deployment.names().items() if name.startswith("odl_")}
    assert set(exported) - set(documented) == set()
    assert set(documented) - set(exported) == ELSEWHERE
    assert {name: documented[name] for name in exported} == exported


def test_every_metric_of_the_dashboard_is_exported(deployment) -> None:
    dashboard: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())] + [
        each["expr"] for each in dashboard["annotations"]["list"]
    ]
    used = set().union(*map(used_in, expressions))
    assert len(used) > 30
    assert used - set(deployment.names()) - ELSEWHERE == set()


def test_every_metric_of_the_rules_is_exported(deployment, rule_groups) -> None:
    rules = [rule for group in rule_groups["groups"] for rule in group["rules"]]
    used = set().union(*(used_in(rule["expr"]) for rule in rules))
    assert used - set(deployment.names()) - ELSEWHERE == set()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert {name for rule in rules for name in re.findall(r"odl:\S+", rule["expr"])} <= recorded


def test_every_alert_is_documented(rule_groups) -> None:
    alerts = [rule for group in rule_groups["groups"] for rule in group["rules"] if "alert" in rule]
    documented = re.findall(r"^\| `(Odl\w+)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(documented) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def test_panels_of_the_dashboard_are_told_apart_and_fill_their_rows() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    widths: dict[int, int] = {}
    for panel in panels:
        place = panel["gridPos"]
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
    assert set(widths.values()) == {24}
