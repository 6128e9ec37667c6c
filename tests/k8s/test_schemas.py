"""Every overlay builds, and what it builds is what the API says."""

from collections import Counter
from typing import Any

import kubernetes_validate
import pytest
import yaml
from overlays import ROOT, Overlay

VERSIONS = ("1.29", "1.31", "1.33")  # of Kubernetes, oldest to newest that operators run today
CUSTOM = ("seldon.io", "strimzi.io", "keda.sh", "monitoring.coreos.com")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_built_in_kinds_fit_their_schemas(overlay: Overlay) -> None:
    checked = 0
    for resource in overlay.resources:
        if any(group in resource["apiVersion"] for group in CUSTOM):
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)
        checked += 1
    assert checked > 10


def test_a_misspelt_field_does_not_fit(overlay: Overlay) -> None:
    deployment = {**overlay.one("Deployment", "odl-consumer"), "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_everything_is_in_one_namespace_under_one_name(overlay: Overlay) -> None:
    (namespace,) = overlay.of_kind("Namespace")
    names = Counter(
        (each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in overlay.resources
    )
    assert not [name for name, count in names.items() if count > 1]
    for resource in overlay.resources:
        if resource is not namespace:
            assert resource["metadata"]["namespace"] == namespace["metadata"]["name"], resource["metadata"]


@pytest.mark.parametrize("name", ["plain", "local"])
def test_without_seldon_no_custom_resource_is_needed(name: str, overlay: Overlay) -> None:
    if overlay.name == name:
        assert not [
            each["kind"] for each in overlay.resources if any(c in each["apiVersion"] for c in CUSTOM)
        ]


def test_production_has_what_its_operators_take(production: Overlay) -> None:
    kinds = {each["kind"] for each in production.resources}
    assert kinds >= {"SeldonDeployment", "KafkaTopic", "KafkaUser", "ScaledObject", "TriggerAuthentication"}
    assert "PodMonitor" in kinds


def test_every_file_of_k8s_is_yaml_with_unique_keys() -> None:
    files = [path for path in (ROOT / "k8s").rglob("*.y*ml") if "images" not in path.parts]
    assert len(files) > 15
    for path in files:
        list(yaml.load_all(path.read_text(), Loader=_Unique))


class _Unique(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, of which the second would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [
            self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")
        ]
        doubled = [key for key, count in Counter(map(str, keys)).items() if count > 1]
        assert not doubled, f"{node.start_mark}: {doubled}"
        return super().construct_mapping(node, deep)
