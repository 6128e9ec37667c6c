"""Each policy refuses a manifest that was spoilt: a check that cannot fail proves nothing."""

import copy
from collections.abc import Callable

import pytest
import test_policies as policies
from overlays import Overlay, Pod, Resource

Spoil = Callable[[Overlay], object]


def replica(overlay: Overlay) -> Pod:
    (found,) = (pod for pod in overlay.pods() if pod.owner.endswith(("/odl-replica", "/odl/main")))
    return found


def container(overlay: Overlay) -> Resource:
    return replica(overlay).containers[0]


def drop(kind: str) -> Spoil:
    """Every resource of a kind goes."""

    def spoil(overlay: Overlay) -> None:
        overlay.resources[:] = [each for each in overlay.resources if each["kind"] != kind]

    return spoil


def mount_the_host(overlay: Overlay) -> None:
    replica(overlay).spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def share_a_name(overlay: Overlay) -> None:
    overlay.named("ConfigMap", "odl-model")["metadata"]["name"] = "other"


SPOILT: dict[str, tuple[Callable[[Overlay], None], Spoil]] = {
    "root": (
        policies.test_no_container_has_more_rights_than_it_needs,
        lambda o: container(o)["securityContext"].update(runAsUser=0),
    ),
    "a writable root": (
        policies.test_no_container_has_more_rights_than_it_needs,
        lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "a capability": (
        policies.test_no_container_has_more_rights_than_it_needs,
        lambda o: container(o)["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
    ),
    "a token": (
        policies.test_no_container_has_more_rights_than_it_needs,
        lambda o: replica(o).spec.update(automountServiceAccountToken=True),
    ),
    "the host's files": (policies.test_no_container_has_more_rights_than_it_needs, mount_the_host),
    "no limit": (
        policies.test_memory_is_requested_and_limited,
        lambda o: container(o)["resources"].pop("limits"),
    ),
    "no probe": (
        policies.test_whatever_runs_on_has_probes_and_ends_in_time,
        lambda o: container(o).pop("livenessProbe"),
    ),
    "a probe of no port": (
        policies.test_whatever_runs_on_has_probes_and_ends_in_time,
        lambda o: container(o)["readinessProbe"]["httpGet"].update(port="https"),
    ),
    "a long end": (
        policies.test_whatever_runs_on_has_probes_and_ends_in_time,
        lambda o: replica(o).spec.update(terminationGracePeriodSeconds=30),
    ),
    "no time after preStop": (
        policies.test_what_answers_requests_leaves_after_its_endpoint,
        lambda o: replica(o).spec.update(terminationGracePeriodSeconds=10),
    ),
    "latest": (
        policies.test_images_are_pinned,
        lambda o: container(o).update(image="ghcr.io/odl/odl-server:latest"),
    ),
    "another release": (
        policies.test_ours_is_the_version_of_this_tree,
        lambda o: container(o).update(image="ghcr.io/odl/odl-server:0.0.9"),
    ),
    "a budget for nobody": (
        policies.test_disruption_budgets_and_autoscalers_have_targets,
        lambda o: o.one("PodDisruptionBudget", "odl-redis")["spec"]["selector"]["matchLabels"].update(a="b"),
    ),
    "no policies": (policies.test_every_pod_is_denied_what_no_policy_allows, drop("NetworkPolicy")),
    "a pod without its label": (
        policies.test_every_pod_is_denied_what_no_policy_allows,
        lambda o: replica(o).labels.pop("app.kubernetes.io/part-of"),
    ),
    "a pod that Redis does not know": (
        policies.test_who_is_told_where_redis_is_may_reach_it_from_both_sides,
        lambda o: replica(o).labels.update({"app.kubernetes.io/name": "odl-other"}),
    ),
    "a map that nobody makes": (
        policies.test_config_maps_are_made_and_secrets_are_told_how_to_make,
        share_a_name,
    ),
    "a secret that nobody is told of": (
        policies.test_config_maps_are_made_and_secrets_are_told_how_to_make,
        lambda o: next(v for v in replica(o).spec["volumes"] if "secret" in v)["secret"].update(
            secretName="x"
        ),
    ),
    "a secret in the repository": (
        policies.test_no_secret_is_in_the_repository,
        lambda o: o.resources.append({"kind": "Secret", "metadata": {"name": "odl-tokens"}}),
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_manifest_is_refused(overlay: Overlay, what: str) -> None:
    check, spoil = SPOILT[what]
    spoilt = copy.deepcopy(overlay)
    spoil(spoilt)
    with pytest.raises((AssertionError, KeyError)):
        check(spoilt)
    check(overlay)
