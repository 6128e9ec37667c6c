"""What no manifest may do without: least rights, limits, probes, pinned images, targets that are there."""

import re
from typing import Any

import pytest
from overlays import ROOT, Overlay, Pod, selects

GRACE_S_MAX = 30
SILENT = {"Deployment/odl-drift"}  # listens nowhere; ends by itself when it cannot go on
DOCUMENT = ROOT / "docs" / "KUBERNETES.md"
PINNED = re.compile(r"[a-z0-9./-]+(:[0-9]+)?/[a-z0-9./-]+(:[0-9]+\.[0-9][\w.-]*|@sha256:[0-9a-f]{64})")


def effective(pod: Pod, container: dict[str, Any]) -> dict[str, Any]:
    """The security context that a container runs under."""
    of_pod = {} if pod.replaced_security_context else pod.spec.get("securityContext", {})
    return {**of_pod, **container.get("securityContext", {})}


def test_no_container_has_more_rights_than_it_needs(overlay: Overlay) -> None:
    for pod in overlay.pods():
        assert pod.spec["automountServiceAccountToken"] is False, pod.owner
        assert pod.spec["serviceAccountName"] == "odl", pod.owner
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            assert not pod.spec.get(name), pod.owner
        assert not [volume for volume in pod.spec["volumes"] if "hostPath" in volume], pod.owner
        for container in pod.all_containers:
            where, context = f"{pod.owner}: {container['name']}", effective(pod, container)
            assert context["runAsNonRoot"] is True and context["runAsUser"] > 10_000, where
            assert context["readOnlyRootFilesystem"] is True, where
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert not context.get("privileged"), where


def test_memory_is_requested_and_limited(overlay: Overlay) -> None:
    for pod in overlay.pods():
        for container in pod.all_containers:
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}, pod.owner
            assert _bytes(resources["requests"]["memory"]) <= _bytes(resources["limits"]["memory"]), pod.owner
        for volume in pod.spec["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], f"{pod.owner}: {volume['name']} has no limit"


def test_redis_has_memory_for_the_copy_that_rewriting_its_file_takes(overlay: Overlay) -> None:
    (redis,) = (pod.containers[0] for pod in overlay.pods() if pod.owner == "StatefulSet/odl-redis")
    used = _bytes(redis["args"][redis["args"].index("--maxmemory") + 1])
    assert 2 * used <= _bytes(redis["resources"]["limits"]["memory"])


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(mb|Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"mb": 1 << 20, "Mi": 1 << 20, "Gi": 1 << 30}[unit]


def test_whatever_runs_on_has_probes_and_ends_in_time(overlay: Overlay) -> None:
    for pod in overlay.pods():
        assert pod.spec["terminationGracePeriodSeconds"] < GRACE_S_MAX, pod.owner
        for container in pod.containers if pod.runs_on else []:
            where = f"{pod.owner}: {container['name']}"
            probed = pod.owner not in SILENT
            assert ("livenessProbe" in container) == probed, where
            assert ("readinessProbe" in container) == probed, where
            assert bool(container.get("ports")) == probed, where
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in (container[name] for name in container if name.endswith("Probe")):
                (target,) = (probe[how]["port"] for how in ("httpGet", "tcpSocket") if how in probe)
                assert target in ports, where


def test_what_answers_requests_leaves_after_its_endpoint(overlay: Overlay) -> None:
    for pod in overlay.pods():
        if pod.labels["app.kubernetes.io/name"] in ("odl-replica", "odl-scorer"):
            (container,) = pod.containers
            command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
            assert command == "/bin/sleep"
            assert int(seconds) + 10 <= pod.spec["terminationGracePeriodSeconds"], pod.owner


def test_replicas_spread_over_nodes(overlay: Overlay) -> None:
    for pod in overlay.pods():
        if pod.labels["app.kubernetes.io/name"] in ("odl-replica", "odl-consumer"):
            (spread,) = pod.spec["topologySpreadConstraints"]
            assert spread["topologyKey"] == "kubernetes.io/hostname"
            assert selects(spread["labelSelector"], pod.labels), pod.owner


def test_images_are_pinned(overlay: Overlay) -> None:
    images = {container["image"] for pod in overlay.pods() for container in pod.all_containers}
    assert images
    for image in images:
        assert PINNED.fullmatch(image), f"{image} has no version"


@pytest.mark.parametrize("image", ["odl-server", "docker.io/valkey/valkey", "docker.io/valkey/valkey:latest"])
def test_an_image_without_a_version_is_seen(image: str) -> None:
    assert not PINNED.fullmatch(image)


def test_ours_is_the_version_of_this_tree(overlay: Overlay) -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    ours = {c["image"] for pod in overlay.pods() for c in pod.all_containers if "/odl-" in c["image"]}
    assert ours and all(image.endswith(f":{version[1]}") for image in ours), ours


def test_disruption_budgets_and_autoscalers_have_targets(overlay: Overlay) -> None:
    pods = overlay.pods()
    assert overlay.of_kind("PodDisruptionBudget")
    for budget in overlay.of_kind("PodDisruptionBudget"):
        assert any(selects(budget["spec"]["selector"], pod.labels) for pod in pods), budget["metadata"]
    targets = {(each["kind"], each["metadata"]["name"]): each for each in overlay.resources}
    for scaler in overlay.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        reference = scaler["spec"]["scaleTargetRef"]
        target = targets[(reference.get("kind", "Deployment"), reference["name"])]
        where = f"{target['metadata']['name']}: applying it again would undo its autoscaler"
        assert "replicas" not in target["spec"] or target["spec"]["replicas"] == 1, where


def test_services_reach_pods_at_ports_they_have(overlay: Overlay) -> None:
    for service in overlay.of_kind("Service"):
        chosen = [
            p for p in overlay.pods() if selects({"matchLabels": service["spec"]["selector"]}, p.labels)
        ]
        assert chosen, service["metadata"]["name"]
        for pod in chosen:
            ports = {port["name"] for container in pod.containers for port in container["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_monitors_scrape_pods_at_ports_they_have(production: Overlay) -> None:
    for monitor in production.of_kind("PodMonitor"):
        chosen = [pod for pod in production.pods() if selects(monitor["spec"]["selector"], pod.labels)]
        assert chosen, monitor["metadata"]["name"]
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert all(endpoint["port"] in {p["name"] for p in pod.containers[0]["ports"]} for pod in chosen)


def test_every_pod_is_denied_what_no_policy_allows(overlay: Overlay) -> None:
    policies = [policy["spec"] for policy in overlay.of_kind("NetworkPolicy")]
    pods = overlay.pods()
    denies = [each for each in policies if not each.get("ingress") and not each.get("egress")]
    for pod in pods:
        assert any(
            selects(each["podSelector"], pod.labels) and set(each["policyTypes"]) == {"Ingress", "Egress"}
            for each in denies
        ), f"{pod.owner} may talk to anybody"
    for policy in policies:
        assert any(selects(policy["podSelector"], pod.labels) for pod in pods), policy


def test_pods_of_ours_that_a_policy_lets_in_or_out_are_there(overlay: Overlay) -> None:
    pods = overlay.pods()
    for policy in (each["spec"] for each in overlay.of_kind("NetworkPolicy")):
        peers = [peer for rule in policy.get("ingress", []) for peer in rule.get("from", [])]
        peers += [peer for rule in policy.get("egress", []) for peer in rule.get("to", [])]
        for peer in peers:
            if "namespaceSelector" not in peer:
                assert any(selects(peer["podSelector"], pod.labels) for pod in pods), peer
                for expression in peer["podSelector"].get("matchExpressions", []):
                    names = {pod.labels["app.kubernetes.io/name"] for pod in pods}
                    assert set(expression["values"]) <= names, "a policy names a pod that is not there"


def test_who_is_told_where_redis_is_may_reach_it_from_both_sides(overlay: Overlay) -> None:
    policies = [each["spec"] for each in overlay.of_kind("NetworkPolicy")]
    (redis,) = (pod for pod in overlay.pods() if pod.owner == "StatefulSet/odl-redis")
    out = [(p["podSelector"], rule["to"]) for p in policies for rule in p.get("egress", []) if "to" in rule]
    into = [
        rule["from"]
        for policy in policies
        for rule in policy.get("ingress", [])
        if "from" in rule and selects(policy["podSelector"], redis.labels)
    ]
    told = [pod for pod in overlay.pods() if any("configMapRef" in each for each in _sources(pod))]
    assert len(told) >= 3
    for pod in told:
        leaves = (peers for chosen, peers in out if selects(chosen, pod.labels))
        assert any(_names(peers, redis) for peers in leaves), f"{pod.owner} may not ask Redis"
        assert any(_names(peers, pod) for peers in into), f"Redis may not answer {pod.owner}"


def _names(peers: list[dict[str, Any]], pod: Pod) -> bool:
    own = [peer["podSelector"] for peer in peers if "namespaceSelector" not in peer]
    return any(selects(chosen, pod.labels) for chosen in own)


def _sources(pod: Pod) -> list[dict[str, Any]]:
    return [source for each in pod.all_containers for source in each.get("envFrom", [])]


def test_config_maps_are_made_and_secrets_are_told_how_to_make(overlay: Overlay) -> None:
    made = {each["metadata"]["name"] for each in overlay.of_kind("ConfigMap")}
    told = DOCUMENT.read_text()
    for pod in overlay.pods():
        maps, secrets = _references(pod)
        assert maps <= made, f"{pod.owner} wants {maps - made}"
        for secret in secrets:
            assert f"`{secret}`" in told or f"secret generic {secret} " in told, (
                f"{secret}: see {DOCUMENT.name}"
            )


def _references(pod: Pod) -> tuple[set[str], set[str]]:
    volumes = pod.spec["volumes"]
    maps = {each["configMap"]["name"] for each in volumes if "configMap" in each}
    secrets = {each["secret"]["secretName"] for each in volumes if "secret" in each}
    for container in pod.all_containers:
        sources = container.get("envFrom", [])
        maps |= {each["configMapRef"]["name"] for each in sources if "configMapRef" in each}
        secrets |= {each["secretRef"]["name"] for each in sources if "secretRef" in each}
        for variable in container.get("env", []):
            secrets |= {variable["valueFrom"]["secretKeyRef"]["name"]} if "valueFrom" in variable else set()
    mounted = {each["name"] for c in pod.all_containers for each in c.get("volumeMounts", [])}
    claimed = {"data"} if pod.owner.startswith("StatefulSet") else set()
    assert mounted == {each["name"] for each in volumes} | claimed, f"{pod.owner}: volumes and mounts differ"
    return maps, secrets


def test_no_secret_is_in_the_repository(overlay: Overlay) -> None:
    assert not overlay.of_kind("Secret")
    for resource in overlay.of_kind("ConfigMap"):
        assert not re.search(r"(?i)password\s*=\s*\S|requirepass|token\s*=", str(resource["data"])), resource


def test_kafka_is_asked_for_nothing_that_its_user_may_not(production: Overlay) -> None:
    acls = production.one("KafkaUser", "odl")["spec"]["authorization"]["acls"]
    prefix = next(each["resource"]["name"] for each in acls if each["resource"]["type"] == "topic")
    group = next(each["resource"]["name"] for each in acls if each["resource"]["type"] == "group")
    topics = {each["metadata"]["name"] for each in production.of_kind("KafkaTopic")}
    (trigger,) = production.one("ScaledObject", "odl-consumer")["spec"]["triggers"]
    assert topics == {"flights-feedback", "flights-feedback-dead-letters"}
    assert all(name.startswith(prefix) for name in topics)
    assert (trigger["metadata"]["topic"], trigger["metadata"]["consumerGroup"]) == ("flights-feedback", group)
    partitions = production.one("KafkaTopic", "flights-feedback")["spec"]["partitions"]
    assert production.one("ScaledObject", "odl-consumer")["spec"]["maxReplicaCount"] <= partitions
