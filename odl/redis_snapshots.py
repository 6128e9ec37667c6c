"""Snapshots in Redis: bytes in pieces, read back and verified, then made visible by one fenced script."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import redis

from odl.errors import DamagedSnapshot
from odl.lock import Lease, refused
from odl.redis_keys import RedisKeys
from odl.redis_script import RedisScript, transact
from odl.snapshots import KEEP, Snapshot, check_bytes, elsewhere

# One command of tens of MB would keep predictions waiting; between pieces they get their turn. Readers count
# in the same size as writers.
PIECE_BYTES = 1 << 20
UNCOMMITTED_MS = 600_000  # what a writer that died left behind goes by itself; longer than any save


@dataclass(frozen=True, slots=True)
class _Record:
    """A member of the index."""

    snapshot: Snapshot
    blob: str  # where the bytes are; never used twice, so no writer can touch another one's


class RedisSnapshots:
    """The `SnapshotStore` of the model `name`; keeps the newest `keep` of each fold.

    A save that fails or is fenced leaves nothing visible; its bytes expire.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        keep: int = KEEP,
        *,
        piece_bytes: int = PIECE_BYTES,
        new_blob_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._client = client
        self._keys = RedisKeys(name)
        self._keep = keep
        self._piece_bytes = piece_bytes
        self._new_blob_id = new_blob_id
        self._commit = RedisScript(client, "commit_snapshot")
        self._drop = RedisScript(client, "drop_snapshot")

    def save(self, snapshot: Snapshot, data: bytes, lease: Lease) -> None:
        check_bytes(snapshot, data)
        record = _Record(snapshot, f"{snapshot.version}-{self._new_blob_id()}")
        blob = self._keys.blob(record.blob)
        for number in range(self._pieces(snapshot)):
            start = number * self._piece_bytes
            piece = ("HSET", blob, str(number), data[start : start + self._piece_bytes])
            transact(self._client, piece, ("PEXPIRE", blob, str(UNCOMMITTED_MS)))
        check_bytes(snapshot, self._bytes(record))
        old, keys = self._outlived(snapshot), self._keys
        old_blobs = (keys.blob(each.blob) for each in old)
        reply = self._commit.run(
            (keys.fence, keys.head, keys.log, keys.snapshots, blob, *old_blobs),
            (lease.token, lease.owner, msgspec.json.encode(record), *map(msgspec.json.encode, old)),
            repeatable=True,
        )
        if reply in (b"fenced", b"elsewhere"):
            transact(self._client, ("UNLINK", blob))
            raise refused(lease) if reply == b"fenced" else elsewhere(snapshot)
        if reply == b"missing":
            raise DamagedSnapshot(
                f"the bytes of snapshot {snapshot.version} expired before they were committed: "
                f"saving took longer than {UNCOMMITTED_MS // 1000} s"
            )

    def list(self) -> list[Snapshot]:
        newest_commit_first = [record.snapshot for record in reversed(self._records())]
        return sorted(newest_commit_first, key=lambda snapshot: -snapshot.version)

    def drop(self, snapshot: Snapshot, lease: Lease) -> None:
        for record in self._records():
            if record.snapshot == snapshot:
                keys = (self._keys.fence, self._keys.snapshots, self._keys.blob(record.blob))
                arguments = (lease.token, lease.owner, msgspec.json.encode(record))
                if self._drop.run(keys, arguments, repeatable=True) == b"fenced":
                    raise refused(lease)

    def load(self, snapshot: Snapshot) -> bytes:
        for record in self._records():
            if record.snapshot == snapshot:
                data = self._bytes(record)
                check_bytes(snapshot, data)
                return data
        raise DamagedSnapshot(
            f"snapshot of version {snapshot.version} is no longer stored: list the snapshots again"
        )

    def _outlived(self, snapshot: Snapshot) -> tuple[_Record, ...]:
        """Records that the new snapshot replaces or pushes out, oldest commit first."""
        same_fold = tuple(each for each in self._records() if each.snapshot.fold_id == snapshot.fold_id)
        replaced = tuple(each for each in same_fold if each.snapshot == snapshot)
        others = tuple(each for each in same_fold if each.snapshot != snapshot)
        return replaced + others[: max(0, len(others) + 1 - self._keep)]

    def _records(self) -> tuple[_Record, ...]:
        """The index, oldest commit first."""
        [members] = transact(self._client, ("ZRANGE", self._keys.snapshots, "0", "-1"))
        return tuple(msgspec.json.decode(member, type=_Record) for member in members)

    def _bytes(self, record: _Record) -> bytes:
        blob = self._keys.blob(record.blob)
        commands = (("HGET", blob, str(number)) for number in range(self._pieces(record.snapshot)))
        return b"".join(transact(self._client, command)[0] or b"" for command in commands)

    def _pieces(self, snapshot: Snapshot) -> int:
        return max(1, -(-snapshot.size_bytes // self._piece_bytes))  # one at least: a blob is there or not
