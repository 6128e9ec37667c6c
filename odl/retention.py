"""How far a log may be trimmed, and who has to agree first.

Old entries go only where `[log] retain` says how many to keep: without them nobody can replay, audit or
hand over the log from its beginning. They are never needed to serve: snapshots are.
"""

from collections.abc import Iterable, Sequence

from odl.errors import DamagedSnapshot
from odl.fold import Fold, LoadLearner
from odl.replicas import ReplicaRecord
from odl.snapshots import KEEP, Snapshot, SnapshotStore


def first_to_keep(head_version: int, kept: Sequence[Snapshot], retain: int | None) -> int:
    """The first version that has to stay; 0 if nothing may go. `kept`: snapshots on the log's history, newest
    first; the newest and two more have to be there, and all of them stay within the log.

    >>> first_to_keep(1_000, [], retain=100)
    0
    """
    if retain is None or len({snapshot.version for snapshot in kept}) < KEEP:
        return 0
    return max(0, min(kept[-1].version, head_version - retain))


def is_confirmed(snapshot: Snapshot, records: Iterable[ReplicaRecord], replica_id: str) -> bool:
    """Whether a second replica has loaded this very snapshot, if there is a second one alive."""
    others = [each for each in records if each.id != replica_id and each.fold_id == snapshot.fold_id]
    return not others or any(each.confirmed == snapshot.sha256 for each in others)


def verify(snapshot: Snapshot, store: SnapshotStore, load_learner: LoadLearner) -> None:
    """Load a snapshot as a replica would that starts from it. Raises `DamagedSnapshot`."""
    data = store.load(snapshot)
    try:
        fold = Fold.from_bytes(data, load_learner)
    except ValueError as error:
        raise DamagedSnapshot(f"snapshot of version {snapshot.version} does not load: {error}") from error
    found = fold.version, fold.chain, fold.learner.digest()
    if found != (snapshot.version, snapshot.chain, snapshot.digest):
        raise DamagedSnapshot(
            f"snapshot of version {snapshot.version}: expected digest {snapshot.digest[:12]}, loaded version "
            f"{fold.version} with {found[2][:12]}"
        )
