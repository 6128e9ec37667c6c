"""How clients of this package reach Kafka: common settings, one clear line when it cannot be reached."""

import logging
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from odl.errors import Misconfigured, Unavailable

Options = Mapping[str, str | int | float | bool]  # librdkafka settings by their own names

REQUEST_TIMEOUT_S = 5.0
CLIENT_ID = "odl"
# The least that brokers allow by default: a dead consumer's partitions are read by another within seconds.
# A false alarm costs a rebalance and nothing else, since positions live in the log.
SESSION_TIMEOUT_MS = 6_000

OPTIONS_BYTES_MAX = 1 << 16
# How to reach brokers, and as whom. What else librdkafka can be told decides how events are kept and read,
# which is not a matter of settings here.
_CONNECTION = ("security.", "sasl.", "ssl.", "enable.ssl.", "https.", "socket.", "broker.address.", "client.")

NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
_NOT_TRANSIENT = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError._INVALID_ARG,
}


def client_options(bootstrap: str, options: Options | None = None) -> dict[str, str | int | float | bool]:
    """Settings that every client starts from; `options` (TLS, SASL …) win over them."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": CLIENT_ID,
        "reconnect.backoff.max.ms": 1_000,  # after an outage be back within a second, not ten
        "socket.nagle.disable": True,
        **(options or {}),
    }


def member_options(
    bootstrap: str, group: str, options: Options | None = None
) -> dict[str, str | int | float | bool]:
    """Settings of a consumer that reads as a member of `group`; `options` win over them."""
    return {
        **client_options(bootstrap, options),
        "group.id": group,
        "auto.offset.reset": "error",  # never jump: `find_start` decides
        "enable.auto.offset.store": False,  # committed offsets follow the log
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
        "partition.assignment.strategy": "cooperative-sticky",
        "fetch.wait.max.ms": 10,  # the embedded broker answers an empty fetch only after this time
        "queued.max.messages.kbytes": 16 * 1024,  # memory of what was fetched ahead
        **(options or {}),
    }


def load_options(path: str | Path) -> Options:
    """librdkafka's connection settings (TLS, SASL) from a file of `name=value` lines, as Kafka's own tools
    take them; # begins a comment. Raises `Misconfigured` naming the line, never showing a value."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the file of Kafka settings {path} cannot be read: {error}") from error
    if len(text) > OPTIONS_BYTES_MAX:
        raise Misconfigured(f"expected at most {OPTIONS_BYTES_MAX} bytes of Kafka settings in {path}")
    options = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        where = f"the file of Kafka settings {path}, line {number}"
        if not equals:
            raise Misconfigured(f"{where}: expected name=value")
        if not name.startswith(_CONNECTION):
            known = ", ".join(_CONNECTION)
            raise Misconfigured(f"{where}: expected a setting that begins with {known}, received {name:.100}")
        options[name] = value
    return options


def options_of(environment: Mapping[str, str]) -> Options:
    """The settings in the file that `ODL_KAFKA_OPTIONS` names; none without it."""
    path = environment.get("ODL_KAFKA_OPTIONS")
    return load_options(path) if path else {}


def admin_client(bootstrap: str, options: Options | None = None) -> AdminClient:
    """A client for metadata. Raises `Misconfigured` for settings that Kafka's client refuses."""
    try:
        return AdminClient(client_options(bootstrap, options), logger=quiet_logger())
    except KafkaException as error:
        raise Misconfigured(f"Kafka settings were refused: {error.args[0].str()}") from error


def quiet_logger() -> logging.Logger:
    """Where librdkafka's own lines go: silent unless somebody turns `streaming.librdkafka` on."""
    logger = logging.getLogger("streaming.librdkafka")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return logger


def as_odl_error(what: str, error: KafkaError) -> Misconfigured | Unavailable:
    """The error of ours for one of Kafka's: `Misconfigured` if waiting cannot help, else `Unavailable`."""
    line = f"{what}: {error.str()} ({error.name()})"
    return Misconfigured(line) if error.code() in _NOT_TRANSIENT else Unavailable(line)


def check_broker(bootstrap: str, timeout_s: float = REQUEST_TIMEOUT_S, options: Options | None = None) -> str:
    """The cluster id, once a broker answered.

    Raises `Unavailable` when none answers within `timeout_s`, `Misconfigured` for settings that cannot work.
    """
    admin = admin_client(bootstrap, options)
    try:
        return str(admin.list_topics(timeout=timeout_s).cluster_id)
    except KafkaException as error:
        cause = as_odl_error("Kafka", error.args[0])
        if isinstance(cause, Misconfigured):
            raise cause from error
        raise Unavailable(
            f"no Kafka broker answers at {bootstrap} within {timeout_s:g} s: "
            "start it, or correct --kafka (ODL_KAFKA)"
        ) from error
