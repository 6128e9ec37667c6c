"""Those who send events: by REST, again until they are acknowledged, and straight into Kafka."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from simulated_kafka import PARTITIONS
from simulated_server import Crashed, Wire

from odl.errors import Unavailable
from odl.event import Event, decode
from odl.feedback import DirectSink
from streaming.message import encode_value

if TYPE_CHECKING:
    from world import World


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a REST sender was told."""

    number: int
    version: int | None  # where its event stands, if known


class Sender:
    """Clients with their events. Whoever was not answered sends again, later, in any order."""

    is_busy = False

    def __init__(self, world: "World") -> None:
        self._world = world
        self._direct = DirectSink(Wire(world), "fsync always")  # type: ignore[arg-type]
        self._numbers = 0
        self._sent: list[bytes] = []  # what Kafka was sent, for duplicate producers
        self.unacknowledged: list[Event] = []
        self.receipts: list[Receipt] = []
        self.poison: set[bytes] = set()

    @property
    def numbers(self) -> range:
        """Every event that was ever to be learned."""
        return range(self._numbers)

    def new_event(self, source: str = "") -> Event:
        """An event nobody has sent yet."""
        number = self._numbers
        self._numbers += 1
        return Event(id=f"e-{number}", x={"n": number}, y="yes" if number % 3 else "no", source=source)

    def feed_kafka(self) -> None:
        """Some events straight into the topic."""
        for _ in range(self._world.dice.randint(1, 4)):
            self._produce(encode_value(self.new_event()))

    def _produce(self, value: bytes) -> None:
        self._sent.append(value)
        partition = self._world.dice.randrange(PARTITIONS)
        self._world.kafka.produce(partition, value)
        self._world.say("kafka %s: %s", partition, value)

    def feed_twice(self) -> None:
        """A duplicate producer sends something recent again, perhaps to another partition."""
        if self._sent:
            self._world.landed("produced twice")
            self._produce(self._world.dice.choice(self._sent[-8:]))

    def feed_poison(self) -> None:
        """Something that cannot be learned, or a tombstone."""
        dice, kafka = self._world.dice, self._world.kafka
        number = len(self.poison)
        event = {"id": f"p-{number}", "x": {"n": -number}, "y": "yes"}
        value = dice.choice(
            [
                b"not JSON %d" % number,
                json.dumps(event | {"y": "perhaps"}).encode(),
                json.dumps(event | {"x": {"poison": number}}).encode(),
                json.dumps(event | {"id": ""}).encode(),
                json.dumps(event | {"x": {"n": float("nan"), "k": number}}).encode(),
                None,
            ]
        )
        if value is not None:
            self.poison.add(value)
        self._world.landed("poison" if value else "tombstone", str(value))
        kafka.produce(dice.randrange(PARTITIONS), value)

    def send_unchecked(self) -> None:
        """A sender of other code appends what the learner refuses: an entry that teaches nothing."""
        event = msgspec.structs.replace(self.new_event("rest:other"), y="perhaps")
        try:
            self._direct.submit(event)
            self._world.landed("entry that teaches nothing")
        except (Unavailable, Crashed):
            self._world.say("nobody knows whether %s is in the log", event.id)

    def send(self) -> None:
        """A REST client sends something new, or again what was not acknowledged."""
        dice = self._world.dice
        if self.unacknowledged and dice.random() < 0.5:
            self.again(self.unacknowledged.pop(dice.randrange(len(self.unacknowledged))))
        else:
            self.submit(self.new_event("rest:client"))

    def again(self, event: Event) -> None:
        """Repeat one, under the same id."""
        self._world.landed("sent again", event.id)
        self.submit(event)

    def submit(self, event: Event) -> None:
        """Send one event once."""
        try:
            version = self._submit(event)
        except (Unavailable, Crashed):
            self.unacknowledged.append(event)
        else:
            self.receipts.append(Receipt(int(str(event.x["n"])), version))
            self._world.say("%s is acknowledged, version %s", event.id, version)

    def _submit(self, event: Event) -> int | None:
        world = self._world
        if world.is_direct:
            return self._direct.submit(event).version
        fault = world.dice.random() if world.faulty else 1.0
        if fault >= 0.05:
            self._produce(encode_value(event))
        if fault < 0.1:
            raise Unavailable("Kafka did not confirm")
        return None


def number_of(payload: bytes) -> int:
    """Which event a payload means, whatever its id and source."""
    return int(str(decode(payload).x["n"]))
