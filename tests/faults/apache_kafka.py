"""A real Apache Kafka broker (KRaft, one node) for tests: its jars by Maven, its life as a child process.

python tests/faults/apache_kafka.py install     download the jars into .odl/kafka (43 MB; once)
python tests/faults/apache_kafka.py run         run one broker until Ctrl-C, and print its address
"""

import argparse
import base64
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

KAFKA_VERSION = "4.1.0"  # the newest that a Java 17 runs
HOME = Path(__file__).parent.parent.parent / ".odl" / "kafka"
JARS = HOME / KAFKA_VERSION
READY_S_MAX = 120.0  # a few seconds; more where other tests keep the cores busy
STOP_S_MAX = 30.0
REQUEST_S_MAX = 60.0
PARTITIONS = 4  # of a topic that is created without saying
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>odl</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

# A heap and a compiler for a broker that lives for a minute; what it says goes to its log file.
JAVA = (
    "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{JARS}/*",
)  # fmt: skip

# One replica of everything; the chores (retention, compaction) every half second.
SETTINGS = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions={partitions}
auto.create.topics.enable={auto_create}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=200
log.initial.task.delay.ms=500
log.segment.delete.delay.ms=200
"""


def missing() -> str:
    """What keeps a broker from running here; empty if nothing does."""
    if shutil.which("java") is None:
        return "no Java here: apt-get install default-jre-headless"
    if not (JARS / "installed").exists():
        return "no jars of Apache Kafka here: make kafka-install"
    return ""


def install() -> None:
    """Copy the jars of Apache Kafka and all that it needs into `.odl/kafka`, as Maven resolves them."""
    if (JARS / "installed").exists():
        return
    if shutil.which("mvn") is None:
        raise SystemExit("no Maven here: apt-get install maven")
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        (Path(folder) / "pom.xml").write_text(POM)
        command = ["mvn", "-q", "-B", COPY_JARS, "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Maven could not fetch Apache Kafka:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    (JARS / "installed").touch()


class ApacheKafka:
    """One broker on 127.0.0.1 with its data in `directory`; running from construction until `stop`.

    A stopped broker may be `start`ed again: same address, same data.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        advertised: int | None = None,
        *,
        auto_create: bool = False,
    ) -> None:
        """`port`: to listen at, else a free one; `advertised`: where clients are to find it instead;
        `auto_create`: the first message makes its topic, which is Kafka's default."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._settings = directory / "server.properties"
        self.log_path = directory / "kafka.log"
        *free, controller = free_ports(1 if port else 2)
        port = port or free[0]
        self.bootstrap = f"127.0.0.1:{advertised or port}"
        text = SETTINGS.format(
            port=port,
            advertised=advertised or port,
            controller=controller,
            data=directory / "data",
            partitions=PARTITIONS,
            auto_create=str(auto_create).lower(),
        )
        self._settings.write_text(text)
        # One in 64 would begin with a dash, which the tool takes for an option.
        cluster_id = "o" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [*JAVA, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._settings)]
        subprocess.run(command, check=True, capture_output=True, timeout=READY_S_MAX)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*JAVA, "kafka.Kafka", str(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = self.log_path.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Apache Kafka ended with code {self._process.returncode}: {said}")
            with contextlib.suppress(KafkaException):
                self.admin.list_topics(timeout=5.0)
                return
        self.stop()
        raise RuntimeError(f"Apache Kafka was not ready in {READY_S_MAX:.0f} s: see {self.log_path}")

    def create_topic(self, name: str, partitions: int, **settings: str) -> None:
        """Create an empty topic; settings with `_` for the dots of Kafka's names."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
        self.admin.create_topics([topic])[name].result(REQUEST_S_MAX)
        self._wait_until_led(name, partitions)

    def _wait_until_led(self, name: str, partitions: int) -> None:
        deadline = time.monotonic() + REQUEST_S_MAX
        while time.monotonic() < deadline:
            found = self.admin.list_topics(name, timeout=5.0).topics[name].partitions
            if len(found) == partitions and all(each.leader == 1 for each in found.values()):
                return
            time.sleep(0.05)
        raise RuntimeError(f"topic '{name}' has no leaders after {REQUEST_S_MAX:.0f} s")

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        self.admin.delete_topics([name])[name].result(REQUEST_S_MAX)
        while self._topic_id(name):
            time.sleep(0.05)

    def _topic_id(self, name: str) -> str:
        try:
            described = self.admin.describe_topics(TopicCollection([name]))[name].result(REQUEST_S_MAX)
        except KafkaException:
            return ""
        return str(described.topic_id)

    def forget_topics(self, names: Collection[str]) -> None:
        """Delete topics without waiting until they are gone."""
        for deleted in self.admin.delete_topics(list(names)).values() if names else ():
            deleted.result(REQUEST_S_MAX)

    def set_topic(self, name: str, **settings: str) -> None:
        """Change settings of a topic, with `_` for the dots of Kafka's names."""
        entries = [
            ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for key, value in settings.items()
        ]
        topic = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self.admin.incremental_alter_configs([topic])[topic].result(REQUEST_S_MAX)

    def delete_records(self, name: str, partition: int, before: int) -> None:
        """Remove the offsets below `before`, as retention does."""
        place = TopicPartition(name, partition, before)
        self.admin.delete_records([place])[place].result(REQUEST_S_MAX)

    def stop(self) -> None:
        """End it cleanly. May be called twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens at."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("install", "run"))
    command = parser.parse_args().command
    if command == "install":
        install()
        return 0
    if missing():
        raise SystemExit(missing())
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with (
        tempfile.TemporaryDirectory(prefix="odl-apache-kafka-") as folder,
        ApacheKafka(Path(folder), auto_create=True) as broker,
    ):
        print(f"Apache Kafka {KAFKA_VERSION} is ready: export ODL_KAFKA={broker.bootstrap}", flush=True)
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
