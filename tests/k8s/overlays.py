"""The overlays of `k8s/` as kustomize builds them, and the pods that would come of them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
OVERLAYS = ("plain", "local", "production")
Resource = dict[str, Any]
BUILT = ROOT / ".odl" / "apiserver"  # what `make apiserver` built
KUBECTL = shutil.which("kubectl") or shutil.which("kubectl", path=str(BUILT)) or ""
KUSTOMIZE_MIN = 5  # its major version, in kubectl since 1.27: components, labels in templates


@dataclass(frozen=True)
class Pod:
    """A pod template of some workload."""

    owner: str  # kind/name, for Seldon with the predictor's name
    labels: dict[str, str]
    spec: Resource
    replaced_security_context: bool = False  # the operator puts its own in the place of the pod's

    @property
    def containers(self) -> list[Resource]:
        """Those that run for as long as the pod does, unless it is a job's."""
        found: list[Resource] = self.spec["containers"]
        return found

    @property
    def all_containers(self) -> list[Resource]:
        """Those that prepare, too."""
        return [*self.spec.get("initContainers", []), *self.containers]

    @property
    def runs_on(self) -> bool:
        """Whether it is meant to run for ever."""
        return not self.owner.startswith(("Job/", "CronJob/"))


@dataclass(frozen=True)
class Overlay:
    """What kustomize made of one overlay."""

    name: str
    text: str  # YAML, one document a resource
    resources: list[Resource]

    def of_kind(self, *kinds: str) -> list[Resource]:
        """Resources of these kinds."""
        return [each for each in self.resources if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Resource:
        """The resource of that name."""
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"] == name)
        return found

    def named(self, kind: str, name: str) -> Resource:
        """The generated resource whose name begins so and ends with the digest of its content."""
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"].startswith(f"{name}-"))
        return found

    def pods(self) -> list[Pod]:
        """The pod templates of every workload."""
        return [pod for resource in self.resources for pod in _pods(resource)]


@cache
def missing() -> str:
    """What keeps an overlay from being built here; empty if nothing does."""
    if not KUBECTL:
        return "no kubectl here, which builds the overlays: make apiserver builds it, too (Go, some minutes)"
    command = [KUBECTL, "version", "--client", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    version = json.loads(done.stdout or "{}").get("kustomizeVersion", "v0")
    major = int(version.lstrip("v").partition(".")[0])
    return (
        ""
        if major >= KUSTOMIZE_MIN
        else f"kubectl here has kustomize {version}; version {KUSTOMIZE_MIN} is needed"
    )


@cache
def build(name: str) -> Overlay:
    """`kubectl kustomize` of one overlay; needs no cluster."""
    command = [KUBECTL, "kustomize", str(ROOT / "k8s" / "overlays" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return Overlay(name, done.stdout, list(yaml.safe_load_all(done.stdout)))


def _pods(resource: Resource) -> Iterator[Pod]:
    owner = f"{resource['kind']}/{resource['metadata']['name']}"
    if resource["kind"] in ("Deployment", "StatefulSet", "Job"):
        template = resource["spec"]["template"]
        yield Pod(owner, template["metadata"]["labels"], template["spec"])
    if resource["kind"] == "CronJob":
        template = resource["spec"]["jobTemplate"]["spec"]["template"]
        yield Pod(owner, template["metadata"]["labels"], template["spec"])
    if resource["kind"] == "SeldonDeployment":
        for predictor in resource["spec"]["predictors"]:
            for component in predictor["componentSpecs"]:
                labels = component["metadata"]["labels"]
                yield Pod(f"{owner}/{predictor['name']}", labels, component["spec"], True)


def selects(selector: Resource, labels: dict[str, str]) -> bool:
    """Whether a label selector chooses a pod with these labels.

    >>> selects({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"})
    True
    """
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", f"not understood here: {expression}"
        exact = exact and labels.get(expression["key"]) in expression["values"]
    return exact
