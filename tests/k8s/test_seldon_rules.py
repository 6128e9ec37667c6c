"""What Seldon's webhook would refuse, as tests: it is not there when manifests are written."""

import copy
from typing import Any

import pytest
from overlays import Overlay

Spec = dict[str, Any]
DEFAULT_PORTS = {"http": 9000, "grpc": 9500}  # what the operator routes to where a graph node names none
NO_ENGINE = "seldon.io/no-engine"


def broken_rules(spec: Spec) -> list[str]:
    """Rules of the SeldonDeployment v1 webhook, and of what its operator does, that a spec breaks."""
    predictors: list[Spec] = spec["predictors"]
    names = [each["name"] for each in predictors]
    shadows = [each for each in predictors if each.get("shadow")]
    traffic = sum(each.get("traffic", 0) for each in predictors if not each.get("shadow"))
    broken = []
    if not predictors:
        broken.append("no predictors")
    if len(set(names)) < len(names):
        broken.append("predictor names are not unique")
    if len(shadows) > 1:
        broken.append("more than one shadow")
    if shadows and len(predictors) == 1:
        broken.append("a shadow alone")
    if any(each.get("traffic", 0) for each in shadows):
        broken.append("a shadow with traffic is mirrored in part")
    if len(predictors) - len(shadows) > 1 and traffic != 100:
        broken.append(f"traffic sums to {traffic}")
    if len(predictors) == 1 and traffic not in (0, 100):
        broken.append(f"one predictor with traffic {traffic}")
    if spec.get("protocol") not in (None, "seldon", "tensorflow", "v2", "kfserving"):
        broken.append(f"protocol {spec['protocol']}")
    if spec.get("transport") not in (None, "rest", "grpc"):
        broken.append(f"transport {spec['transport']}")
    for predictor in predictors:
        broken += [f"{predictor['name']}: {rule}" for rule in _broken_by(predictor)]
    return broken


def _broken_by(predictor: Spec) -> list[str]:
    containers = {c["name"]: c for part in predictor["componentSpecs"] for c in part["spec"]["containers"]}
    nodes = _nodes(predictor["graph"])
    broken = [
        f"no container for the graph's {node['name']}" for node in nodes if node["name"] not in containers
    ]
    if NO_ENGINE in predictor.get("annotations", {}):
        if predictor["annotations"][NO_ENGINE] != "true":
            broken.append("no-engine: its webhook looks whether it is there, its operator whether it is true")
        if len(nodes) > 1:
            broken.append("several nodes without an engine")
    for node in nodes:
        ports = {p["name"]: p["containerPort"] for p in containers.get(node["name"], {}).get("ports", [])}
        wanted = {
            **DEFAULT_PORTS,
            **{"http": node.get("endpoint", {}).get("httpPort", DEFAULT_PORTS["http"])},
        }
        if "http" not in ports or any(ports[name] != wanted[name] for name in ports if name in wanted):
            broken.append(f"ports {ports} are not those that are routed to: {wanted}")
        if node.get("type", "UNKNOWN_TYPE") == "UNKNOWN_TYPE" and not node.get("methods"):
            broken.append(f"{node['name']} has neither type nor methods")
    for part in predictor["componentSpecs"]:
        scaling = part.get("hpaSpec", {})
        if scaling and not scaling["minReplicas"] <= scaling["maxReplicas"]:
            broken.append("hpaSpec: bounds")
        if scaling and "metrics" in scaling:
            broken.append("hpaSpec.metrics is of an API that is gone: metricsv2")
    return broken


def _nodes(node: Spec) -> list[Spec]:
    return [node, *(found for child in node.get("children", []) for found in _nodes(child))]


def test_the_deployment_keeps_every_rule(production: Overlay) -> None:
    (deployment,) = production.of_kind("SeldonDeployment")
    assert broken_rules(deployment["spec"]) == []
    assert [each["name"] for each in deployment["spec"]["predictors"]] == ["main", "canary", "shadow"]


def _other_name(spec: Spec) -> None:
    spec["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["name"] = "classifier"


def _other_port(spec: Spec) -> None:
    spec["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["ports"][0]["containerPort"] = 8080


def _same_names(spec: Spec) -> None:
    spec["predictors"][1]["name"] = "main"


def _more_traffic(spec: Spec) -> None:
    spec["predictors"][1]["traffic"] = 20


def _two_shadows(spec: Spec) -> None:
    spec["predictors"].append({**spec["predictors"][2], "name": "shadow-2"})


def _shadow_alone(spec: Spec) -> None:
    spec["predictors"] = spec["predictors"][2:]


def _shadow_with_traffic(spec: Spec) -> None:
    spec["predictors"][2]["traffic"] = 10


def _engine_said_false(spec: Spec) -> None:
    spec["predictors"][0]["annotations"][NO_ENGINE] = "false"


@pytest.mark.parametrize(
    "spoil",
    [
        _other_name, _other_port, _same_names, _more_traffic, _two_shadows, _shadow_alone,
        _shadow_with_traffic, _engine_said_false,
    ],
)  # fmt: skip
def test_a_spoilt_deployment_breaks_a_rule(production: Overlay, spoil: Any) -> None:
    spec = copy.deepcopy(production.of_kind("SeldonDeployment")[0]["spec"])
    spoil(spec)
    assert broken_rules(spec)


def test_learners_are_fed_by_the_log_whatever_the_split(production: Overlay) -> None:
    main, canary, _ = (pod for pod in production.pods() if pod.owner.startswith("SeldonDeployment"))
    assert main.containers[0]["envFrom"] == canary.containers[0]["envFrom"]
    assert main.containers[0]["args"] == canary.containers[0]["args"]
