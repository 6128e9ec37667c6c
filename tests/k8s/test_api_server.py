"""Every overlay applied to a real API server: its schemas, its validation, its pod security admission."""

import copy
import json
from collections.abc import Iterator

import pytest
import yaml
from api_server import ApiServer, missing
from custom_resources import KINDS, definitions
from overlays import OVERLAYS, Overlay, Pod, Resource, build

pytestmark = [
    pytest.mark.xdist_group("api-server"),  # so that it starts once
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """The server, with the custom resources defined."""
    with ApiServer(tmp_path_factory.mktemp("api-server")) as server:
        for definition in definitions():
            done = server.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(definition))
            assert done.returncode == 0, done.stderr
        names = [f"crd/{plural}.{group}" for group, _, _, plural, _ in KINDS]
        done = server.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        assert done.returncode == 0, done.stderr
        yield server


def apply(server: ApiServer, overlay: Overlay) -> str:
    """Server-side apply, strict about unknown fields; what was said."""
    arguments = ("apply", "--server-side", "--validate=strict", "--force-conflicts", "-f", "-")
    done = server.kubectl(*arguments, given=overlay.text)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_applied_and_applied_again_changes_nothing(server: ApiServer, name: str) -> None:
    overlay = build(name)
    said = apply(server, overlay)
    assert said.count("serverside-applied") == len(overlay.resources)
    generations = _generations(server, overlay)
    apply(server, overlay)
    assert _generations(server, overlay) == generations
    assert _refused(server, [_pod(overlay, pod, number) for number, pod in enumerate(overlay.pods())]) == ""


def _generations(server: ApiServer, overlay: Overlay) -> dict[str, int]:
    done = server.kubectl("get", "-f", "-", "-o", "json", given=overlay.text)
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"].get("generation", 0) for each in items
    }


def _pod(overlay: Overlay, pod: Pod, number: int) -> Resource:
    """A pod as a controller would make it, in the namespace that lets in restricted ones only."""
    spec = copy.deepcopy(pod.spec)
    if pod.replaced_security_context:
        spec.pop("securityContext", None)
    claims = {mount["name"] for c in spec["containers"] for mount in c.get("volumeMounts", [])}
    claims -= {volume["name"] for volume in spec["volumes"]}
    spec["volumes"] += [
        {"name": claim, "emptyDir": {}} for claim in claims
    ]  # a StatefulSet makes one for each pod
    (namespace,) = overlay.of_kind("Namespace")
    metadata = {"name": f"pod-{number}", "namespace": namespace["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _refused(server: ApiServer, pods: list[Resource]) -> str:
    """What the server says against these pods; empty if nothing."""
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    done = server.kubectl(*arguments, given=yaml.safe_dump_all(pods))
    return "" if done.returncode == 0 else done.stderr


def test_a_pod_with_more_rights_is_not_let_in(server: ApiServer) -> None:
    overlay = build("plain")
    apply(server, overlay)
    pod = _pod(overlay, overlay.pods()[0], 0)
    pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    assert "violates PodSecurity" in _refused(server, [pod])


def test_what_is_wrong_is_refused(server: ApiServer) -> None:
    overlay = build("production")
    apply(server, overlay)
    (deployment,) = overlay.of_kind("SeldonDeployment")
    for spoil in ("two shadows", "same names", "too much traffic", "no such field"):
        wrong = copy.deepcopy(deployment)
        predictors = wrong["spec"]["predictors"]
        if spoil == "two shadows":
            predictors.append({**predictors[2], "name": "shadow-2"})
        elif spoil == "same names":
            predictors[1]["name"] = "main"
        elif spoil == "too much traffic":
            predictors[0]["traffic"] = 110
        else:
            predictors[0]["componentSpecs"][0]["hpaSpecs"] = {}
        done = server.kubectl(
            *(
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "--force-conflicts",
                "-f",
                "-",
            ),
            given=yaml.safe_dump(wrong),
        )
        assert done.returncode != 0, spoil
