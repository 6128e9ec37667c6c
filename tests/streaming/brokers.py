"""The two brokers that every contract of this folder is kept on, and what one of them cannot do.

`embedded` is librdkafka's mock cluster, as in `odl demo` and `odl up`; `apache` a real Apache Kafka, one JVM
for the whole test run, behind a gate that can be shut. Where Java or the jars (`make kafka-install`) are
absent, the tests on `apache` are skipped.
"""

import ctypes
import sys
from pathlib import Path
from typing import Any, Protocol

from gate import Gate

from streaming.embedded_broker import EmbeddedBroker

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))

from apache_kafka import ApacheKafka, free_ports, missing

__all__ = ["CANNOT", "Apache", "Broker", "Embedded", "missing"]

# What a test may need (pytest.mark.needs) -> the broker without it, and why. TLS and SASL are Apache Kafka's
# alone, too: tests/security/test_kafka_login.py.
CANNOT = {
    "compaction": {"embedded": "librdkafka's mock broker keeps every message of a key"},
    "retention": {"embedded": "librdkafka's mock broker removes records only when it is told to"},
    "transactions": {"embedded": "librdkafka's mock broker shows what was aborted, and writes no markers"},
    "long sessions": {"embedded": "librdkafka's mock broker makes a rebalance wait as long as a session"},
    "restart": {"embedded": "librdkafka's mock broker keeps its topics in memory alone"},
    "chosen errors": {"apache": "a real broker answers with the errors that it meets"},
}
LARGE_BYTES = 100_000  # above this, `create_narrow_topic` refuses a value


class Broker(Protocol):
    """What tests do with a broker."""

    bootstrap: str

    def create_topic(self, name: str, partitions: int) -> None: ...

    def create_narrow_topic(self, name: str) -> None:
        """A topic that refuses the next value, which is larger than `LARGE_BYTES`."""

    def delete_topic(self, name: str) -> None: ...

    def delete_records(self, name: str, partition: int, before: int) -> None:
        """Remove the offsets below `before`, as retention does."""

    def set_down(self) -> None:
        """Let nobody reach it, until `set_up`."""

    def set_up(self) -> None: ...


class Embedded(EmbeddedBroker):
    """The embedded broker with the faults that librdkafka can inject."""

    def create_narrow_topic(self, name: str) -> None:
        self.create_topic(name, 1)
        self.fail(api_key=0, errors=[10])  # Produce: MESSAGE_TOO_LARGE

    def delete_topic(self, name: str) -> None:
        self._call("rd_kafka_mock_topic_delete", name.encode())

    def delete_records(self, name: str, partition: int, before: int) -> None:
        function = "rd_kafka_mock_partition_delete_records"
        self._call(function, name.encode(), ctypes.c_int32(partition), ctypes.c_int64(before))

    def set_down(self) -> None:
        self._call("rd_kafka_mock_broker_set_down", ctypes.c_int32(1))

    def set_up(self) -> None:
        self._call("rd_kafka_mock_broker_set_up", ctypes.c_int32(1))

    def fail(self, api_key: int, errors: list[int]) -> None:
        """Answer the next requests of this kind with these error codes."""
        array = (ctypes.c_int * len(errors))(*errors)
        function = "rd_kafka_mock_push_request_errors_array"
        self._call(function, ctypes.c_int16(api_key), ctypes.c_size_t(len(errors)), array)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(ctypes.c_void_p(self._cluster), *arguments)
        assert code in (0, None), f"{name}: error {code}"


class Apache:
    """Apache Kafka behind a gate."""

    def __init__(self, directory: Path) -> None:
        [port] = free_ports(1)
        self._gate = Gate(port)
        self._kafka = ApacheKafka(directory, port=port, advertised=self._gate.port)
        self.bootstrap = f"127.0.0.1:{self._gate.port}"
        self._topics: set[str] = set()

    def create_topic(self, name: str, partitions: int, **settings: str) -> None:
        """Settings with `_` for the dots of Kafka's names. Takes values of any size, as the mock broker."""
        self._kafka.create_topic(name, partitions, **{"max_message_bytes": "100000000", **settings})
        self._topics.add(name)

    def create_narrow_topic(self, name: str) -> None:
        self.create_topic(name, 1, max_message_bytes=str(LARGE_BYTES))

    def delete_topic(self, name: str) -> None:
        self._kafka.delete_topic(name)
        self._topics.discard(name)

    def delete_records(self, name: str, partition: int, before: int) -> None:
        self._kafka.delete_records(name, partition, before)

    def set_topic(self, name: str, **settings: str) -> None:
        """Change settings of a topic."""
        self._kafka.set_topic(name, **settings)

    def set_down(self) -> None:
        self._gate.shut()

    def set_up(self) -> None:
        self._gate.open()

    def restart(self) -> None:
        """`kill -9`, and another start with the same data."""
        self._kafka.kill()
        self._kafka.start()

    def clear(self) -> None:
        """Make it as it was before a test: open, and without the topics that the test has left."""
        self._gate.open()
        self._kafka.forget_topics(self._topics)
        self._topics.clear()

    def close(self) -> None:
        self._kafka.stop()
        self._gate.close()
