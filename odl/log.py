"""The log: one totally ordered, deduplicated list of payloads, each at its version 1, 2, 3 …

`MemoryLog` (odl.memory) defines the contract, `RedisLog` (odl.redis_log) runs the same tests.
Positions: a source's stored position is the `seq` of the last event that entered (or was passed over);
a sender resumes with the next one.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import msgspec

from odl.errors import LogFull, Superseded
from odl.lock import Lease

CHAIN_START = "0" * 40  # the chain of version 0
# Ids that are surely remembered. A day at 12 events/s; two generations at 0.1 KB an id stay under 0.2 GB.
IDS_MAX = 1_000_000

_POSITION = re.compile(r"0|[1-9][0-9]{0,29}")  # decimal, no leading zeros: equal positions are equal strings


def next_chain(chain: str, payload: bytes) -> str:
    """chain_n = sha1(chain_{n-1} ‖ payload_n), in hex.

    >>> next_chain(CHAIN_START, b"a")[:12]
    '0dc84df94d85'
    """
    return hashlib.sha1(chain.encode() + payload, usedforsecurity=False).hexdigest()


class Outcome(StrEnum):
    """What became of one append."""

    ACCEPTED = "accepted"  # entered the log, or its position was passed over
    DUPLICATE = "duplicate"  # this id or position had entered before; nothing changed but the position
    GAP = "gap"  # `prev` is not the stored position: seek to the stored one and go on from there
    EXPIRED = "expired"  # older than the horizon of ids, so nobody knows if it entered; nothing changed


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends."""

    version: int  # number of entries, 0 for an empty log
    chain: str  # running digest, 40 hex digits
    epoch: int  # grows when acknowledged history was lost; starts at 1
    log_id: str  # made when the log was created; another one is another history
    fold_id: str = ""  # the arithmetic that may serve this log; empty until the first replica claims it


class Entry(msgspec.Struct, frozen=True, gc=False):  # made a million at a time, a sixth of a dataclass's cost
    """One entry as the log stores it."""

    version: int
    chain: str  # running digest up to and including this payload
    payload: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """What a sender asks to enter. An empty payload only moves the position (a dead letter, a hole).

    Raises `ValueError` for a combination that no sender can mean.
    """

    payload: bytes  # canonical bytes, see odl.event
    event_id: str  # deduplicated within the horizon of ids; empty with an empty payload
    source: str  # `kafka:<cluster>:<topic id>:<partition>` or `rest:<client>`
    prev: str | None = None  # the position this sender believes was stored last; None: nothing yet
    seq: str | None = None  # position of this event, decimal; None: the source has no positions
    after: int = 0  # a version its sender had seen before first sending it; 0: unknown

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("expected a source, received an empty one: name where the event came from")
        if bool(self.payload) != bool(self.event_id):
            raise ValueError("expected a payload and an event id, or neither to pass a position over")
        if self.after < 0:
            raise ValueError(f"expected a version of 0 or more in after, received {self.after}")
        if self.seq is None:
            if not self.payload or self.prev is not None:
                raise ValueError("expected a seq with an empty payload or with a prev, received none")
            return
        if not _POSITION.fullmatch(self.seq) or not (self.prev is None or _POSITION.fullmatch(self.prev)):
            raise ValueError(
                f"expected decimals of up to 30 digits, received seq {self.seq!r}, prev {self.prev!r}"
            )
        if self.prev is not None and int(self.prev) >= int(self.seq):
            raise ValueError(f"expected prev below seq, received seq {self.seq}, prev {self.prev}")


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to one append."""

    outcome: Outcome
    version: int | None  # where the event stands (a duplicate: where the first one stands, if still known)
    stored: str | None  # the source's stored position after this call


@dataclass(frozen=True, slots=True)
class Coming:
    """A read that is under way: call one of the two, once."""

    get: Callable[[], "Slice"]  # what `Log.read` gives, or raises, at a moment since this was made
    drop: Callable[[], None] = lambda: None  # gives up on it


@dataclass(frozen=True, slots=True)
class Slice:
    """What one read returned: the head and the entries from the reader's own version on, inclusive."""

    head: Head
    entries: list[Entry]
    # Begins `read(version, count)` where the server can be at it while the reader does something else.
    begin: Callable[[int, int], Coming] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts that the log keeps beside its entries."""

    duplicates: int  # events answered DUPLICATE
    skipped: int  # positions passed over without an entry (dead letters)
    horizon: int = 1  # ids of entries from this version on are remembered, see `Log.append`
    control: int = 0  # version of the newest control entry (odl.control), 0: there is none


def superseded(expected: Head) -> Superseded:
    """The error of a control entry that was meant for another log than this has become."""
    return Superseded(
        f"the log is no longer as it was at version {expected.version}: somebody promoted or rolled back "
        "since, or history was lost; look at `odl status`, then decide again"
    )


def uncovered(up_to_version: int) -> ValueError:
    """The error of trimming what snapshots do not hold yet."""
    return ValueError(
        f"expected two visible snapshots of this history at version {up_to_version} or later: "
        "take snapshots before trimming"
    )


def full(limit: int, why: str) -> LogFull:
    """The error of an append beyond the limit."""
    return LogFull(f"the log takes no entry after version {limit} for the moment: {why}")


class Log(Protocol):
    """Storage of the log. Every method is one atomic step; all raise `Unavailable` when out of reach
    and `LogMissing` when the server holds no log of this name (except `create`)."""

    def create(self) -> Head:
        """Create the log if there is none; its head either way."""

    def head(self) -> Head:
        """The head now."""

    def append(self, item: Append) -> Appended:
        """Enter one event, together with its source's position. Safe to repeat.

        An event that first entered before the horizon is no longer known by its id. `after` tells exactly
        whether that may be so: who had seen version v before sending can only have entered later than v.
        So an unknown id with `after + 1 < horizon` answers EXPIRED; 0 (unknown) is taken at its word.
        Raises `LogFull` for a new entry beyond the limit."""

    def append_many(self, items: list[Append]) -> list[Appended]:
        """Enter several in order, pipelined; each is atomic, and each is its own version.
        When it raises, `LogFull` included, the first ones may have entered: repeat all.
        After a GAP the later ones of that source answer GAP too, since their `prev` does not fit."""

    def read(self, version: int, count: int) -> Slice:
        """Head, and up to `count` entries *after* `version` preceded by the entry at `version` itself
        (absent for version 0 and when it was trimmed or lost), read in one atomic step. A reader that is
        at the head gets no entry: the head's chain is that of its own version."""

    def position(self, source: str) -> str | None:
        """The stored position of a source, None if it never sent."""

    def positions(self) -> dict[str, str]:
        """Every source with its stored position."""

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        """Enter a control entry under the version lock; its version. Safe to repeat with the same id.
        Raises `Fenced` for an outdated lease, `Superseded` unless this log passed through `expected`, a head
        that was read before, and no control entry came after it. Events may have come."""

    def find(self, event_ids: Sequence[str]) -> list[int | None]:
        """The version at which each event entered; None for those that did not, or whose ids are older than
        what is remembered (`ids_max`)."""

    def raise_epoch(self, at_least: int) -> Head:
        """Make the epoch at least `at_least`; never lowers it."""

    def claim(self, fold_id: str) -> Head:
        """Record whose log it is, if that was not recorded; the head with what is recorded now."""

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        """Record another fold id, see `odl.adopt`. Raises `Fenced` for an outdated lease."""

    def limit(self, version: int, why: str) -> None:
        """Take no entries after `version` until the next call; `why` is for those who are refused."""

    def fullness(self) -> float:
        """The share of the server's memory limit that is in use, 0.0 without a limit."""

    def counters(self) -> Counters:
        """Duplicates and passed-over positions so far, and the horizon of ids."""

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        """Remove entries before `up_to_version` (never that one: a reader starts with its own), at most
        a bounded number; how many were removed. Repeat until 0; a few may stay, since whole blocks go.
        Raises `Fenced` for an outdated lease, `ValueError` unless at least two visible snapshots of the
        fold and of this very history (log id and chain) are at or after `up_to_version`, and not before
        the newest control entry: from older ones that entry could not be followed."""
