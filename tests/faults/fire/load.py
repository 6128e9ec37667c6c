"""Load on a cluster: senders by REST and by Kafka that remember what was acknowledged."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from fire.client import Reply, Rest
from fire.cluster import TOPIC
from fire.counter import Operation
from fire.process import Process
from fire.waiting import DEADLINE_S
from odl.event import Event
from streaming.message import encode_value

LABELS = ("no", "yes")


class Sender(threading.Thread):
    """A thread whose error is raised where it is joined."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.halt = threading.Event()  # send nothing new
        self.abandon = threading.Event()  # end, whatever is under way
        self.counts: Counter[str] = Counter()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - raised by `finish`
            self._error = error
        finally:
            self.close()

    def work(self) -> None:
        """What the thread does."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it used."""

    def finish(self) -> None:
        """Tell it to end with what it is doing, and wait for that."""
        self.halt.set()
        self.join(DEADLINE_S)
        if self._error is not None:
            raise self._error
        assert not self.is_alive(), f"{self.name} did not end"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.halt.set()
        self.abandon.set()
        self.join(DEADLINE_S)


class Caller(Sender):
    """Predicts and gives feedback through replicas chosen at random, until told to stop.

    Feedback that was not acknowledged is sent again under the same id, to any replica, until it is; so
    every id in `acknowledged` is one event, and no other id can be in the log.
    """

    def __init__(
        self, replicas: Sequence[Process], seed: int, *, feedback_share: float = 0.5, pause_s: float = 0.0
    ) -> None:
        super().__init__()
        self._replicas = replicas  # may change under way: whoever is there now is asked
        self._chance = random.Random(seed)
        self._share = feedback_share
        self._pause_s = pause_s
        self._rest = Rest()
        self._seed = seed
        self.acknowledged: list[str] = []
        self.history: list[Operation] = []

    def work(self) -> None:
        for number in itertools.count(1):
            if self.halt.is_set():
                break
            if self._chance.random() < self._share:
                self._feedback(f"rest-{self._seed}-{number}", self._chance.random())
            else:
                self._predict(self._chance.random())
            if self._pause_s:
                time.sleep(self._pause_s)

    def close(self) -> None:
        self._rest.close()

    def _url(self) -> str:
        return self._chance.choice([each.url for each in self._replicas] or [""])

    def _feedback(self, event_id: str, value: float) -> None:
        began, deadline = time.monotonic(), time.monotonic() + DEADLINE_S
        while not self.abandon.is_set():
            url = self._url()
            reply = self._rest.feedback(url, event_id, value, LABELS[value > 0.5]) if url else None
            if reply is not None and reply.status == 200:
                return self._note(event_id, began, reply)
            self.counts[f"feedback {reply.status if reply else 'nowhere'}"] += 1
            assert reply is None or reply.status in (0, 503), f"feedback was answered {reply}"
            assert time.monotonic() < deadline, f"no acknowledgement of {event_id} in {DEADLINE_S:.0f} s"
            time.sleep(0.02)

    def _note(self, event_id: str, began: float, reply: Reply) -> None:
        self.acknowledged.append(event_id)
        self.counts[reply.tags["outcome"]] += 1
        version = reply.tags.get("version")
        if version is not None:  # after Kafka alone has it, nobody knows
            self.history.append(Operation("feedback", began, time.monotonic(), version))

    def _predict(self, value: float) -> None:
        url = self._url()
        if not url:
            return
        began = time.monotonic()
        reply = self._rest.predict(url, value)
        self.counts[f"predict {reply.status}"] += 1
        if reply.status == 200:
            stale = bool(reply.tags.get("stale"))
            version = reply.tags["version"]
            self.counts["stale"] += stale
            self.history.append(Operation("predict", began, time.monotonic(), version, stale))
        else:
            assert reply.status in (0, 503), f"a prediction was answered {reply}"
            time.sleep(0.01)


class KafkaSender(Sender):
    """Produces events `kafka-<seed>-<n>` over all partitions, some twice, at about `rate` a second."""

    def __init__(
        self,
        bootstrap: str,
        seed: int,
        *,
        rate: int = 1_000,
        events_max: int | None = None,
        partitions: int = 3,
        doubled: float = 0.02,
    ) -> None:
        super().__init__()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2, "log_level": 0}
        )
        self._chance = random.Random(seed)
        self._seed = seed
        self._rate = rate
        self._events_max = events_max
        self._partitions = partitions
        self._doubled = doubled
        self.delivered: list[str] = []

    def work(self) -> None:
        number, began = 0, time.monotonic()
        while not self.halt.is_set() and (self._events_max is None or number < self._events_max):
            number += 1
            self._send(number)
            self._producer.poll(0)
            ahead_s = number / self._rate - (time.monotonic() - began)
            if ahead_s > 0.01:
                time.sleep(ahead_s)
        deadline = time.monotonic() + DEADLINE_S
        while self._producer.flush(1.0) and not self.abandon.is_set():
            assert time.monotonic() < deadline, "Kafka did not confirm every event"

    def _send(self, number: int) -> None:
        chance = self._chance
        event_id = f"kafka-{self._seed}-{number}"
        x = {"n": chance.random()}
        value = encode_value(Event(id=event_id, x=x, y=chance.choice(LABELS)))
        times = 2 if chance.random() < self._doubled else 1
        self.counts["produced twice"] += times - 1
        for _ in range(times):
            self._producer.produce(
                TOPIC, value, partition=chance.randrange(self._partitions), on_delivery=self._report(event_id)
            )

    def _report(self, event_id: str) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            assert error is None, f"{event_id} was not delivered: {error}"
            self.delivered.append(event_id)

        return report
