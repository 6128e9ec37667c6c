"""Backpressure: up to which version the log takes entries, worked out once a second by every replica.

An append compares the head with one number (`Log.limit`), so this costs writers nothing. The number stays
when all replicas are gone: the log then grows as far as the last of them could have followed, no further.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from odl.replicas import ReplicaRecord

# What is left of the server's memory is for snapshots, heartbeats and the copies that a save needs.
FULLNESS_MAX = 0.9
# Snapshots may fail this often in a row before the log stops growing: a replica that starts has to fold it.
UNSAVED_SNAPSHOTS_MAX = 10


@dataclass(frozen=True, slots=True)
class Limit:
    """No entries after `version`, because of `why` (one clause, for those who are refused)."""

    version: int
    why: str


def limit_of(
    records: Iterable[ReplicaRecord],
    saved: int,
    fullness: float,
    *,
    lag_max: int,
    snapshot_every: int,
) -> Limit:
    """The nearest limit. `records`: live replicas; those that have not been at the head yet do not count,
    or one that starts would stop everybody. `saved`: version of the newest snapshot.

    >>> limit_of([], 5_000, 0.95, lag_max=100, snapshot_every=10).why
    'Redis uses 95 % of its maxmemory: raise it, or set `retain` in [log] so that old entries go'
    """
    if fullness > FULLNESS_MAX:
        why = "raise it, or set `retain` in [log] so that old entries go"
        return Limit(0, f"Redis uses {fullness:.0%} of its maxmemory: {why}".replace("%", " %"))
    unsaved_max = UNSAVED_SNAPSHOTS_MAX * snapshot_every
    nearest = Limit(
        saved + unsaved_max, f"the newest snapshot is of version {saved}: see why replicas save none"
    )
    for record in records:
        if record.joined and record.version + lag_max < nearest.version:
            why = f"replica {record.id} is at version {record.version} and cannot keep up"
            nearest = Limit(record.version + lag_max, why)
    return nearest
