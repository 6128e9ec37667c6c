"""What really happened to the log, told by the server itself, and what must never be observed of it."""

from dataclasses import dataclass, replace

from hash_learner import HashLearner

from odl.control import BASE, Plan, control_of, is_control
from odl.errors import InvalidEvent
from odl.event import decode
from odl.fold import Fold
from odl.lock import Lease
from odl.log import CHAIN_START, Entry, Head


class Violation(AssertionError):
    """A promise was broken."""


def require(holds: bool, promise: str, *found: object) -> None:
    """Raise `Violation` unless the promise holds; `found` fills the promise's %s."""
    if not holds:
        raise Violation(promise % found)


@dataclass(frozen=True, slots=True)
class Link:
    """One entry that was in the log at some time."""

    version: int
    parent: str  # chain before it
    payload: bytes
    state: str  # of the learner after it, by an offline fold


class History:
    """Every head that the log had, in order, and every entry, by its chain (which fixes all before it)."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.links: dict[str, Link] = {CHAIN_START: Link(0, "", b"", HashLearner().state)}
        self.limit: int | None = None  # version after which the log takes nothing
        self.last_token = 0  # of the lease that wrote last

    def entered(self, before: Head, after: Head, payload: bytes) -> None:
        """The log grew by one entry."""
        is_bound = not is_control(payload) and self.limit is not None
        require(
            not is_bound or after.version <= (self.limit or 0),
            "version %s is beyond the limit",
            after.version,
        )
        if after.chain not in self.links and is_control(payload):
            # What a control entry makes of the log is what the offline fold of all of it makes.
            self.links[after.chain] = Link(after.version, before.chain, payload, "")
            learner = self.fold(after.chain).learner
            assert isinstance(learner, HashLearner)
            self.links[after.chain] = replace(self.links[after.chain], state=learner.state)
        if after.chain not in self.links:
            learner = HashLearner(self.links[before.chain].state, before.version)
            try:
                event = decode(payload)
                learner.learn_one(event.x, event.y, event.weight)
            except (ValueError, InvalidEvent):
                learner.skip_one()
            self.links[after.chain] = Link(after.version, before.chain, payload, learner.state)
        self.heads.append(after)

    def is_within(self, chain: str, end: str) -> bool:
        """Whether the history that ends with chain `end` passes through `chain`."""
        version = self.links[chain].version
        while self.links[end].version > version:
            end = self.links[end].parent
        return chain == end

    def payloads(self, chain: str) -> list[bytes]:
        """Everything that a history holds, in order."""
        found = []
        while chain != CHAIN_START:
            link = self.links[chain]
            found.append(link.payload)
            chain = link.parent
        return found[::-1]

    def fold(self, chain: str) -> Fold:
        """The offline fold of a history, from its beginning."""
        chains = [chain]
        while chains[-1] != CHAIN_START:
            chains.append(self.links[chains[-1]].parent)
        fold = Fold(HashLearner(), plan=self._plan(chains))
        for at in reversed(chains[:-1]):
            fold.take(Entry(self.links[at].version, at, self.links[at].payload))
        return fold

    def _plan(self, chains: list[str]) -> Plan:
        """The plan in force at the first of these chains, which lead back to the beginning."""
        for chain in chains:
            link = self.links[chain]
            control = control_of(link.payload)
            if control is not None:
                return control.plan(link.version)
        return BASE

    # What must hold at every moment

    def check_fold_id(self, who: str, fold_id: str, asked: int) -> None:
        """Since the question, the log belonged to the answering fold at some moment."""
        window = self.heads[asked:]
        require(
            any(head.fold_id in ("", fold_id) for head in window),
            "%s of fold %s answered while the log was another's",
            who,
            fold_id,
        )

    def check_fold(self, who: str, fold: Fold) -> None:
        """A replica's fold is a fold of something that the log once held."""
        link = self.links.get(fold.chain)
        require(link is not None, "%s learned a history that never was, at version %s", who, fold.version)
        assert link is not None
        require(link.version == fold.version, "%s is at %s, its chain at %s", who, fold.version, link.version)
        require(
            link.state == fold.learner.state,  # type: ignore[attr-defined]
            "%s at version %s differs from the offline fold",
            who,
            fold.version,
        )

    def check_answer(self, who: str, chain: str, asked: int) -> None:
        """An answer holds all that the log held at some moment since the question, and no lost branch."""
        version = self.links[chain].version
        window = self.heads[asked:]
        require(
            any(self.is_within(head.chain, chain) for head in window),
            "%s answered by version %s; since the question the log was at %s",
            who,
            version,
            [head.version for head in window],
        )
        require(
            any(self.is_within(chain, head.chain) for head in window),
            "%s answered by a lost branch, version %s",
            who,
            version,
        )

    def check_decision(self, seen: Head, version: int) -> None:
        """Whoever decided at `version` had seen every earlier decision."""
        end = next((head.chain for head in reversed(self.heads) if head.version >= version), None)
        payloads = self.payloads(end)[seen.version : version - 1] if end else []
        require(
            not any(map(is_control, payloads)), "version %s was decided on version %s", version, seen.version
        )

    def check_write(self, what: str, lease: Lease) -> None:
        """Writes under the version lock happen in the order of their leases."""
        require(
            lease.token >= self.last_token,
            "%s under lease %s came after a write under lease %s",
            what,
            lease.token,
            self.last_token,
        )
        self.last_token = lease.token
