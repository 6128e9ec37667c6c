"""The model file: what a model is and how it is served. Addresses come from the command line or environment.

    name = "flights"
    [model]
    task = "binary"
    classes = ["on time", "late"]
    [kafka]
    topic = "flights-feedback"

Everything but `name` and `[model]` has a default. A key that is not known is an error, so that a misspelt
setting is found at start.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from odl.actor import Count, Positive, ReplicaSettings
from odl.drift import DriftSettings
from odl.errors import Misconfigured
from odl.log import IDS_MAX

NAME = re.compile(r"[a-z0-9-]{1,100}")


Group = Literal["health", "metrics", "status"]  # of paths that show and change nothing
OPEN_ALL: tuple[Group, ...] = ("health", "metrics", "status")


class ServeSettings(ReplicaSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[serve]` table: how the replica serves, and what its server lets in."""

    feedback_per_second_max: Positive | None = None  # events by REST of one source; left out: no bound
    feedback_burst_max: Count = 1_000  # events that a source may send at once after a pause
    # answered without a token where tokens are required: probes and Prometheus often cannot send one
    open: tuple[Group, ...] = OPEN_ALL


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[kafka]` table; names that are left out follow from the model's name."""

    topic: str = ""  # where feedback arrives: <name>-feedback
    dead_letter_topic: str = ""  # where feedback goes that cannot be learned: <topic>-dead-letters
    group: str = ""  # consumer group: odl-<name>
    values: Literal["json", "avro"] = "json"  # how values are written
    schema_registry: str = ""  # URL of a registry that holds the Avro schemas
    schema: str = ""  # or a file with the one Avro schema of values without a registry


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[log]` table."""

    ids_max: Count = IDS_MAX  # event ids that are surely remembered, for deduplication
    retain: Count | None = None  # entries that trimming leaves at least; left out: nothing is ever trimmed
    log_id: str = ""  # refuse to start on a log with another id; empty: take what is there
    require_fsync_always: bool | None = None  # refuse a Redis that may lose acknowledged writes in a crash;
    # left out: only where nothing else keeps them, which is without Kafka
    archive: str = ""  # folder or s3://… of `odl archive`; then nothing is trimmed that is not archived


class RememberSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[remember]` table: with it, predictions are remembered and feedback needs only id and truth."""

    ttl_s: Positive = 86_400.0  # labels that come later are refused as EXPIRED
    max: Count = 100_000  # predictions that are surely remembered, 35 MB with 8 numbers each; older ones go


class FeedbackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[feedback]` table."""

    # what becomes of feedback that corrects or retracts an earlier label: refused, or learned as a new event
    corrections: Literal["refuse", "learn"] = "refuse"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model file."""

    name: str  # a-z, 0-9 and -; names the log, {odl:<name>}
    model: dict[str, Any]  # what the learner's spec takes; odl itself does not look inside
    serve: ServeSettings = ServeSettings()
    kafka: KafkaSettings = KafkaSettings()
    log: LogSettings = LogSettings()
    remember: RememberSettings | None = None  # left out: feedback carries its features itself
    feedback: FeedbackSettings = FeedbackSettings()
    drift: DriftSettings = DriftSettings()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of a-z, 0-9 and -, received {self.name!r}")


def load_config(path: str | Path) -> Config:
    """The configuration in a TOML file. Raises `Misconfigured` naming the key and what was expected."""
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the model file {path} cannot be read: {error}") from error
    return parse_config(text, str(path))


def parse_config(text: str, origin: str = "the model file") -> Config:
    """The configuration in TOML text.

    >>> config = parse_config('name = "flights"\\n[model]\\ntask = "binary"')
    >>> config.kafka.topic, config.serve.policy
    ('flights-feedback', 'refuse')
    >>> parse_config('name = "flights"\\n[model]\\n[serve]\\npolicy = "hope"')
    Traceback (most recent call last):
    odl.errors.Misconfigured: the model file: Invalid enum value 'hope' - at `serve.policy`;
    expected 'refuse' or 'stale'
    """
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{origin}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{origin}: {_explained(str(error))}") from error
    topic = config.kafka.topic or f"{config.name}-feedback"
    kafka = KafkaSettings(
        topic=topic,
        dead_letter_topic=config.kafka.dead_letter_topic or f"{topic}-dead-letters",
        group=config.kafka.group or f"odl-{config.name}",
        values=config.kafka.values,
        schema_registry=config.kafka.schema_registry,
        schema=config.kafka.schema,
    )
    return msgspec.structs.replace(config, kafka=kafka)


TABLES: dict[str, type[msgspec.Struct]] = {
    "": Config,
    "serve": ServeSettings,
    "kafka": KafkaSettings,
    "log": LogSettings,
    "remember": RememberSettings,
    "feedback": FeedbackSettings,
    "drift": DriftSettings,
}


def _explained(message: str) -> str:
    """msgspec says what was wrong and where; this adds what would have been right."""
    unknown = re.search(r"unknown field `(.+?)`(?: - at `\$\.(\w+)`)?$", message)
    if unknown:
        key, table = unknown[1], unknown[2] or ""
        known = ", ".join(TABLES[table].__struct_fields__)
        return f"unknown key `{table}.{key}`; expected some of: {known}".replace("`.", "`")
    message = message.replace("`$.", "`")
    if message.endswith("`serve.policy`"):
        return f"{message}; expected 'refuse' or 'stale'"
    if message.endswith("`feedback.corrections`"):
        return f"{message}; expected 'refuse' or 'learn'"
    return message
