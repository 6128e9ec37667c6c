"""Load on a cluster: questions and feedback by REST, feedback by Kafka, until told to stop."""

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from confluent_kafka import Producer

from odl.event import Event
from streaming.message import encode_value

LABELS = ("on time", "late")
DEADLINE_S = 240.0  # a request that no replica answered for so long was not answered
REQUEST_S_MAX = 30.0
PAUSE_S = 0.01  # the machine has other things to do
RETRY_S = 0.05


class Load(threading.Thread):
    """A thread whose error is raised where it is joined."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.chance = random.Random(seed)
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.halt = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            for number in itertools.count(1):
                if self.halt.is_set():
                    break
                self.step(number)
                time.sleep(PAUSE_S)
            self.close()
        except BaseException as error:  # noqa: BLE001 - raised by `finish`
            self._error = error

    def step(self, number: int) -> None:
        """One request."""
        raise NotImplementedError

    def close(self) -> None:
        """Wait for what is under way."""

    def finish(self) -> None:
        """Tell it to end with what it is doing, and wait for that."""
        self.halt.set()
        self.join(2 * DEADLINE_S)
        if self._error is not None:
            raise self._error
        assert not self.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt.set()


class Asker(Load):
    """Predicts and gives feedback through whichever replica the Service has; asks another one where
    one does not answer."""

    def __init__(self, urls: Callable[[], list[str]], token: str, seed: int) -> None:
        super().__init__(seed)
        self._urls = urls
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self.acknowledged: list[str] = []

    def step(self, number: int) -> None:
        features = {"jsonData": {"n": self.chance.random(), "city": self.chance.choice("abc")}}
        self._answered("predict", "/api/v1.0/predictions", features)
        event_id = f"rest-{self.seed}-{number}"
        feedback = {
            "request": {**features, "meta": {"puid": event_id}},
            "truth": {"strData": self.chance.choice(LABELS)},
        }
        self._answered("feedback", "/api/v1.0/feedback", feedback)
        self.acknowledged.append(event_id)

    def _answered(self, what: str, path: str, message: dict[str, Any]) -> None:
        """Ask until some replica answers."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            status = self._ask(path, json.dumps(message).encode())
            self.counts[f"{what} {status}"] += 1
            if status == 200:
                return
            assert status in (0, 503), f"{what} was answered {status}"
            assert time.monotonic() < deadline, f"no replica answered a {what} in {DEADLINE_S:.0f} s"
            time.sleep(RETRY_S)

    def _ask(self, path: str, body: bytes) -> int:
        """The status; 0 where there was no whole answer."""
        urls = self._urls()
        if not urls:
            return 0
        connection = http.client.HTTPConnection(
            urlsplit(self.chance.choice(urls)).netloc, timeout=REQUEST_S_MAX
        )
        try:
            connection.request("POST", path, body, self._headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return response.status
        finally:
            connection.close()


class KafkaSender(Load):
    """Produces events over three partitions, some of them twice."""

    def __init__(self, bootstrap: str, topic: str, seed: int) -> None:
        super().__init__(seed)
        self._topic = topic
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0}
        )
        self.delivered: list[str] = []

    def step(self, number: int) -> None:
        event = Event(
            id=f"kafka-{self.seed}-{number}", x={"n": self.chance.random()}, y=self.chance.choice(LABELS)
        )
        self.delivered.append(event.id)  # `close` waits for all of them
        for _ in range(1 + (number % 20 == 0)):
            self._producer.produce(self._topic, encode_value(event), partition=self.chance.randrange(3))
        self._producer.poll(0)

    def close(self) -> None:
        assert self._producer.flush(DEADLINE_S) == 0, "Kafka did not take everything"
