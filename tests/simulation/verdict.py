"""The end of a run: no more faults, everybody comes to rest, and then every promise is looked at."""

from typing import TYPE_CHECKING

from hash_learner import HashLearner
from history import require
from keepers import FOLDS, hand_over
from senders import number_of
from simulated_kafka import PARTITIONS

from odl.control import is_control

if TYPE_CHECKING:
    from world import World

SEND_ROUNDS_MAX = 2_000
SETTLE_ROUNDS_MAX = 400  # without faults, by far enough to learn everything


def settle(world: "World") -> None:
    """No more faults: everybody comes to rest."""
    world.say("no more faults")
    while world.late:
        world.deliver_late()
    world.faulty = False
    world.pass_time(60.0)
    _make_peace(world)
    _send_the_rest(world)
    for partition in range(PARTITIONS):
        if not any(partition in consumer.assigned for consumer in world.consumers):
            world.consumers[partition].assign(partition)
    for consumer in world.consumers:
        consumer.check_identity()
    for _ in range(SETTLE_ROUNDS_MAX):
        world.pass_time(0.3)
        for process in (*world.consumers, *world.replicas):
            process.turn()
        for replica in world.replicas:
            replica.keeper.act()
        if _is_settled(world):
            return
    troubles = [replica.actor.trouble for replica in world.replicas]
    require(False, "the world does not come to rest; troubles of the replicas: %s", troubles)


def _send_the_rest(world: "World") -> None:
    """Whoever has no answer sends again, and waits where the log takes nothing yet."""
    for _ in range(SEND_ROUNDS_MAX):
        if not world.sender.unacknowledged:
            return
        world.sender.again(world.sender.unacknowledged.pop())
        if world.server.is_full:
            world.pass_time(0.3)
            world.make_room()
    troubles = [replica.actor.trouble for replica in world.replicas]
    require(False, "what is sent is never taken; troubles of the replicas: %s", troubles)


def _make_peace(world: "World") -> None:
    """There is memory, the log belongs to the first fold, and everybody has been seen alive."""
    world.server.share = 0.0
    hand_over(world, FOLDS[0])
    for number in range(len(world.replicas)):
        world.turn(number)
    for replica in world.replicas:
        replica.keeper.act()


def _is_settled(world: "World") -> bool:
    head = world.server.head_now
    return (
        head is not None
        and all(consumer.is_at_the_end for consumer in world.consumers)
        and all(replica.follower.fold.version == head.version for replica in world.replicas)
    )


def check(world: "World") -> None:
    """What must hold at the end."""
    head = world.server.head()
    payloads = world.history.payloads(head.chain)
    # A control entry has no number; it stands among the others.
    standing = [None if is_control(payload) else number_of(payload) for payload in payloads]
    numbers = [number for number in standing if number is not None]
    kept = {value for value in world.kafka.values() if value is not None}
    required = {number_of(value) for value in kept - world.sender.poison}
    if world.is_direct:
        required |= {receipt.number for receipt in world.sender.receipts}
    doubled = {number for number in numbers if numbers.count(number) > 1}
    require(not doubled, "events %s entered more than once", doubled)
    require(required <= set(numbers), "events %s were lost", required - set(numbers))
    require(set(numbers) <= set(world.sender.numbers), "events nobody sent entered")
    if world.kafka.lives == 1 and not world.is_direct:
        require(len(numbers) == len(required), "%s entries, %s events", len(numbers), len(required))
    require(kept & world.sender.poison <= world.dead_values, "a dead letter was lost")
    require(world.dead_values <= world.sender.poison, "a good event became a dead letter")
    _check_receipts(world, standing)
    _check_replicas(world, head.chain)


def _check_receipts(world: "World", numbers: list[int | None]) -> None:
    if world.is_direct and not world.parts.is_direct:
        for receipt in world.sender.receipts:
            assert receipt.version is not None
            found = numbers[receipt.version - 1]
            require(found == receipt.number, "version %s holds another event", receipt.version)


def _check_replicas(world: "World", chain: str) -> None:
    offline = world.history.fold(chain)
    learner = offline.learner
    assert isinstance(learner, HashLearner)
    for replica in world.replicas:
        fold = replica.follower.fold
        require(fold.chain == chain, "%s has another chain", replica.name)
        require(fold.learner.digest() == learner.digest(), "%s has another digest", replica.name)
        require(fold.scores == offline.scores, "%s has other scores than the offline fold", replica.name)
        request = replica.question()
        replica.turn()
        require(request.future.done(), "%s does not answer in peace", replica.name)
        require(request.future.exception(0) is None, "%s refuses in peace", replica.name)
        world.counts["resets"] += replica.follower.resets
