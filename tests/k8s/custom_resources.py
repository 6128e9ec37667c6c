"""Definitions of the custom resources that overlays use, with the rules of their structure that matter here.

The operators' own definitions are some megabytes; these hold what a mistake in ours would break. What they do
not name is taken as it is.
"""

from typing import Any

Schema = dict[str, Any]
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRING: Schema = {"type": "string", "minLength": 1}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def count(minimum: int, maximum: int | None = None) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": minimum} | ({} if maximum is None else {"maximum": maximum})


def some(*values: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def listed(items: Schema, **rules: Any) -> Schema:
    """A list of at least one."""
    return {"type": "array", "minItems": 1, "items": items, **rules}


def table(required: tuple[str, ...] = (), *, more: bool = False, **properties: Schema) -> Schema:
    """An object; with `more`, of which not everything is named."""
    found: Schema = {"type": "object", "required": list(required), "properties": properties}
    return found | ({"x-kubernetes-preserve-unknown-fields": True} if more else {})


PREDICTOR = table(
    ("name", "graph"),
    name=STRING,
    replicas=count(0),
    traffic=count(0, 100),
    shadow={"type": "boolean"},
    annotations=LABELS,
    labels=LABELS,
    svcOrchSpec=OPEN,
    explainer=OPEN,
    ssl=OPEN,
    graph=table(("name",), more=True, name=STRING, type=some("MODEL", "ROUTER", "COMBINER", "TRANSFORMER")),
    componentSpecs=listed(
        table(
            ("spec",),
            metadata=table(labels=LABELS),
            spec={**OPEN, "required": ["containers"]},
            replicas=count(0),
            hpaSpec=table(
                ("maxReplicas",), minReplicas=count(1), maxReplicas=count(1), metricsv2=listed(OPEN)
            ),
        )
    ),
)
PREDICTORS = listed(PREDICTOR, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
SELDON_RULES = [
    {
        "rule": "self.predictors.filter(p, has(p.shadow) && p.shadow).size() <= 1",
        "message": "Multiple shadows are not allowed",
    },
    {
        "rule": "self.predictors.exists(p, !has(p.shadow) || !p.shadow)",
        "message": "Shadow can not exist as only predictor",
    },
]
ACL = table(
    ("resource", "operations"),
    resource=table(
        ("type",),
        type=some("topic", "group", "cluster", "transactionalId"),
        name=STRING,
        patternType=some("literal", "prefix"),
    ),
    operations=listed(
        some(
            "Read",
            "Write",
            "Create",
            "Delete",
            "Alter",
            "Describe",
            "DescribeConfigs",
            "IdempotentWrite",
            "All",
        )
    ),
)
# group, version, kind, plural, the schema of its spec
KINDS: tuple[tuple[str, str, str, str, Schema], ...] = (
    (
        "machinelearning.seldon.io", "v1", "SeldonDeployment", "seldondeployments",
        table(
            ("predictors",), name=STRING, protocol=some("seldon", "v2"), transport=some("rest", "grpc"),
            predictors=PREDICTORS,
        ) | {"x-kubernetes-validations": SELDON_RULES},
    ),
    (
        "kafka.strimzi.io", "v1beta2", "KafkaTopic", "kafkatopics",
        table(partitions=count(1), replicas=count(1, 32767), config=OPEN, topicName=STRING),
    ),
    (
        "kafka.strimzi.io", "v1beta2", "KafkaUser", "kafkausers",
        table(
            authentication=table(("type",), more=True, type=some("tls", "tls-external", "scram-sha-512")),
            authorization=table(("acls", "type"), acls=listed(ACL), type=some("simple")),
        ),
    ),
    (
        "keda.sh", "v1alpha1", "ScaledObject", "scaledobjects",
        table(
            ("scaleTargetRef", "triggers"), more=True,
            scaleTargetRef=table(("name",), name=STRING, kind=STRING, apiVersion=STRING),
            minReplicaCount=count(0), maxReplicaCount=count(1), cooldownPeriod=count(0),
            triggers=listed(
                table(
                    ("type", "metadata"), more=True, type=STRING, metadata=LABELS,
                    authenticationRef=table(("name",), name=STRING, kind=STRING),
                )
            ),
        ),
    ),
    (
        "keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications",
        table(
            more=True,
            secretTargetRef=listed(
                table(("parameter", "name", "key"), parameter=STRING, name=STRING, key=STRING)
            ),
        ),
    ),
    (
        "monitoring.coreos.com", "v1", "PodMonitor", "podmonitors",
        table(
            ("selector", "podMetricsEndpoints"), more=True, selector=OPEN,
            podMetricsEndpoints=listed(table(more=True, port=STRING, path=STRING, interval=STRING)),
        ),
    ),
    (
        "monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules",
        table(
            groups=listed(
                table(
                    ("name",), more=True, name=STRING,
                    rules=listed(
                        table(
                            ("expr",), more=True, alert=STRING, record=STRING, labels=LABELS,
                            annotations=LABELS, expr={"x-kubernetes-int-or-string": True},
                        )
                    ),
                )
            ),
        ),
    ),
)  # fmt: skip


def definitions() -> list[Schema]:
    """A CustomResourceDefinition a kind."""
    return [_definition(*kind) for kind in KINDS]


def _definition(group: str, version: str, kind: str, plural: str, spec: Schema) -> Schema:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": table(("spec",), spec=spec)},
                }
            ],
        },
    }
