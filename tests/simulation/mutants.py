"""The protocol with one rule taken away, each a part to put into a world: the simulation notices every one.

None of these exists in the product. A rule whose absence goes unnoticed is either not needed or not tested.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer
from hash_learner import HashLearner
from mutants_of_bounds import (
    AdoptsUnfenced,
    AnyFold,
    PassesWhatIsFull,
    RetainsNothing,
    SilentlyFull,
    TrimsUnconfirmed,
    Unlimited,
)
from mutants_of_decisions import AnyPlan, BlindDecisions, DeafFollower, TrimsWhatDecisionsNeed
from parts import Parts
from processes import SimulatedConsumer, SimulatedReplica
from senders import Sender
from simulated_kafka import SimulatedClient
from simulated_server import Server

from odl.actor import Actor
from odl.event import Event, Features, Label, Prediction
from odl.folds import Folds
from odl.follower import Follower
from odl.lock import Lease
from odl.log import Append, Appended, Entry, Head, next_chain
from odl.mailbox import Predict
from odl.memory import MemoryLock, MemorySnapshots
from odl.snapshots import Snapshot
from streaming.source import Positions, Start
from streaming.steps import Step


class NoPrev(Server):
    """Takes whatever position comes next: a tail that was lost never comes back."""

    def append(self, item: Append) -> Appended:
        if item.seq is not None:
            stored = self._here().positions.get(item.source)
            if stored is None or int(stored) < int(item.seq):
                item = replace(item, prev=stored)
        return super().append(item)


class NoIds(Server):
    """Deduplicates by position alone: what is sent twice enters twice."""

    def append(self, item: Append) -> Appended:
        self._here().ids.clear()
        return super().append(item)


class TrimBeforeVerify(Server):
    """Trims without looking for snapshots that hold what is trimmed."""

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        self._snapshots.lock.check(lease)
        state = self._here()
        removed = [version for version in state.entries if version < min(up_to_version, state.head.version)]
        for version in removed:
            del state.entries[version]
        return len(removed)


class UnverifiedSnapshots(MemorySnapshots):
    """Makes visible what was written without looking at it, so that trimming relies on damaged bytes."""

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        super().save(replace(snapshot, sha256=sha256, size_bytes=len(data)), data, lease)


class AnyHistory(MemorySnapshots):
    """Makes visible what the log does not lead to: three old ones push out all that trimming relied on."""

    def _is_on_log(self, snapshot: Snapshot) -> bool:
        return True


class PassesFirst(SimulatedConsumer):
    """Moves the position before the dead letter is stored."""

    def _store(self, steps: Sequence[Step]) -> None:
        self._append(steps)
        letters = [step.letter for step in steps if step.letter is not None]
        if letters:
            self._patience.until_done("dead-letter topic", lambda: self._dead_letters.write(letters))


class AnySnapshot(Follower):
    """Starts from the newest snapshot, whether or not the log still holds that history."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.folds = AnyFolds(*parts)


class AnyFolds(Folds):
    """Folds of every snapshot there is."""

    def is_here(self, snapshot: Snapshot) -> bool:
        return True


class VersionOnly(Follower):
    """Compares version numbers, which repeat after a rewind."""

    def step(self, count: int) -> Head | None:
        if self._restoring:
            self._restore()
        part = self._log.read(self.fold.version, count)
        if part.head.version < self.fold.version:
            self._forget(part.head)
            return None
        for entry in part.entries:
            if entry.version == self.fold.version + 1:
                chain = next_chain(self.fold.chain, entry.payload)
                self.fold.take(Entry(entry.version, chain, entry.payload))
        self._follow_epoch(part.head)
        return part.head


class SilentRewind(Follower):
    """Rebuilds after a loss without raising the epoch."""

    def _forget(self, head: Head) -> None:
        super()._forget(head)
        self._lost = False


class JoiningActor(Actor):
    """Answers those, too, who came while the log was being read."""

    inbox: list[Any]

    def _answer_waiting(self) -> None:
        while self.trouble is None and self._head is not None and self.inbox:
            request = self.inbox.pop()
            assert isinstance(request, Predict)
            request.needs = self._head
            self._waiting.append(request)
        super()._answer_waiting()


class NumberedActor(Actor):
    """Takes a version for the head that was seen there, though another branch may have that number."""

    def _is_lost(self, seen: Head, head: Head) -> bool:
        return head.version < seen.version


class JoiningReplica(SimulatedReplica):
    """A replica whose actor sees its mailbox at any time."""

    def turn(self) -> None:
        assert isinstance(self.actor, JoiningActor)
        requests, self._inbox = self._inbox, []
        self.actor.inbox = self._inbox
        self.actor.turn(requests)
        self._check()


class LatestPositions(Positions):
    """`auto.offset.reset=latest`: begins at the end where nothing is stored or a position does not exist."""

    def find(self, consumer: Consumer, partition: int) -> Start:
        start = super().find(consumer, partition)
        if start.stored is None:
            assert isinstance(consumer, SimulatedClient)
            return replace(start, offset=consumer.ends[partition])
        return start


class NotIdempotentSender(Sender):
    """Tries again under a new id, so that nobody can know it is the same event."""

    def again(self, event: Event) -> None:
        self._again = getattr(self, "_again", 0) + 1
        super().again(Event(f"{event.id}-{self._again}", event.x, event.y, source=event.source))


class LearnsFirst(HashLearner):
    """Scores an event by a learner that has seen it."""

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        self.learn_one(x, y, weight)
        return self.predict_one(x)


class UnfencedLock(MemoryLock):
    """A plain lease: whoever held it once may write."""

    def check(self, lease: Lease) -> None:
        pass


MUTANTS: Mapping[str, Parts] = {
    "no_prev": Parts(server=NoPrev),
    "version_only": Parts(follower=VersionOnly),
    "joins_head_check_in_flight": Parts(actor=JoiningActor, replica=JoiningReplica),
    "waits_for_a_number": Parts(actor=NumberedActor),
    "no_ids": Parts(server=NoIds),
    "five_ids": Parts(ids_max=5),
    "latest": Parts(positions=LatestPositions),
    "retry_not_idempotent": Parts(sender=NotIdempotentSender),
    "learn_before_test": Parts(learner=LearnsFirst),
    "unfenced_lock": Parts(lock=UnfencedLock),
    "trim_before_verify": Parts(server=TrimBeforeVerify),
    "unverified_snapshots": Parts(snapshots=UnverifiedSnapshots),
    "snapshots_of_any_history": Parts(snapshots=AnyHistory),
    "dead_letter_after_its_position": Parts(consumer=PassesFirst),
    "any_snapshot": Parts(follower=AnySnapshot),
    "silent_rewind": Parts(follower=SilentRewind),
    "rest_not_in_kafka": Parts(is_direct=True),
    "blind_decisions": Parts(server=BlindDecisions),
    "trims_what_decisions_need": Parts(server=TrimsWhatDecisionsNeed),
    "deaf_to_decisions": Parts(follower=DeafFollower),
    "any_plan": Parts(follower=AnyPlan),
    "unlimited": Parts(server=Unlimited),
    "silently_full": Parts(server=SilentlyFull),
    "passes_what_is_full": Parts(server=PassesWhatIsFull),
    "trims_unconfirmed": Parts(snapshotter=TrimsUnconfirmed),
    "retains_nothing": Parts(snapshotter=RetainsNothing),
    "any_fold": Parts(follower=AnyFold),
    "hands_over_unfenced": Parts(server=AdoptsUnfenced),
}
