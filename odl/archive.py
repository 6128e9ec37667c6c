"""The archive: a log's entries as Parquet files, written before they are trimmed, checked by the chain.

A folder (`odl.folder`) of segments and manifests. A segment holds consecutive entries, one a row:

| column | |
|---|---|
| `version`, `chain`, `payload` | the entry as the log stored it; `chain` as 20 bytes |
| `id`, `source`, `seq`, `label`, | decoded for those who query the files; null where the entry |
| `weight`, `time_ms`, `served_version` | is no event |

Files are written once and never changed: a manifest lists segments, and the one with the highest generation
and then the highest version in its name counts. So an archiver that was paused cannot undo the work of
another, and a reader never sees half of anything. A generation begins when the log lost history that had
been archived: the archive then goes on from the last entry that both have.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from odl.archive_file import from_parquet, to_parquet
from odl.errors import HistoryLost, Misconfigured, Unavailable
from odl.folder import Folder
from odl.log import CHAIN_START, Entry, Head, Log, next_chain

logger = logging.getLogger(__name__)

SEGMENT_ROWS = 50_000  # entries of a full segment: some MB, read at once
PAGE = 1_000  # entries read from the log at once
MANIFESTS_KEPT = 2  # so that a reader who has just chosen one still finds its segments
_MANIFEST = re.compile(r"manifest-(\d{10})-(\d{20})\.json")

OnProgress = Callable[[int, int], None]  # version archived so far, version to reach


class Segment(msgspec.Struct, frozen=True):
    """One Parquet file."""

    file: str  # name in the folder
    first: int  # version of its first entry
    last: int  # version of its last entry
    chain: str  # the log's chain at `last`
    sha256: str  # of the file
    size_bytes: int  # of the file


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds."""

    log_id: str  # whose log it is
    generation: int = 0  # how often the log lost archived history
    segments: tuple[Segment, ...] = ()  # consecutive, oldest first

    @property
    def end(self) -> int:
        """Version of the last archived entry, 0 if there is none."""
        return self.segments[-1].last if self.segments else 0

    @property
    def begin(self) -> int:
        """Version of the first archived entry, 1 if there is none."""
        return self.segments[0].first if self.segments else 1

    @property
    def chain(self) -> str:
        """The log's chain at `end`."""
        return self.segments[-1].chain if self.segments else CHAIN_START

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"manifest-{self.generation:010}-{self.end:020}.json"


class Archive:
    """The archive in one folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.entries_of = lru_cache(maxsize=2)(self._entries_of)

    def manifest(self) -> Manifest | None:
        """What is archived now; None if nothing was yet. Raises `Unavailable`, `HistoryLost` if damaged."""
        names = [name for name in self.folder.names() if _MANIFEST.fullmatch(name)]
        if not names:
            return None
        try:
            return msgspec.json.decode(self.folder.read(max(names)), type=Manifest)
        except msgspec.MsgspecError as error:
            raise HistoryLost(f"{self.folder.url}/{max(names)} is damaged: {error}") from error

    def entries(self, manifest: Manifest, version: int, count: int) -> list[Entry]:
        """The archived entry at `version` and up to `count` after it, as `Log.read` has them."""
        found: list[Entry] = []
        for segment in manifest.segments:
            if segment.last >= max(version, 1) and len(found) <= count:
                rows = self.entries_of(segment)
                start = max(version - segment.first, 0)
                found += rows[start : start + count + 1 - len(found)]
        return found[:count] if version == 0 else found

    def add(self, manifest: Manifest, entries: Sequence[Entry]) -> Manifest:
        """Write one segment after those of `manifest`, read it back, then the manifest that has it."""
        data = to_parquet(entries)
        first, last = entries[0].version, entries[-1].version
        digest = hashlib.sha256(data).hexdigest()
        name = f"log-{first:020}-{last:020}-{entries[-1].chain[:12]}-{digest[:12]}.parquet"
        segment = Segment(name, first, last, entries[-1].chain, digest, len(data))
        self.folder.write(name, data)
        if hashlib.sha256(self.folder.read(name)).hexdigest() != digest:
            raise Unavailable(f"{self.folder.url}/{name} reads back as other bytes than were written")
        grown = Manifest(manifest.log_id, manifest.generation, (*manifest.segments, segment))
        self.save(grown)
        return grown

    def save(self, manifest: Manifest) -> None:
        """Make what it lists the archive."""
        self.folder.write(manifest.name, msgspec.json.encode(manifest))

    def clean(self) -> None:
        """Remove outdated manifests of the newest generation and the segments that only they named.
        What a lost history left behind stays: nobody else has it."""
        names = sorted(name for name in self.folder.names() if _MANIFEST.fullmatch(name))
        same = [name for name in names if name.split("-")[1] == names[-1].split("-")[1]]
        outdated = same[:-MANIFESTS_KEPT]
        if not outdated:
            return
        keep = {s.file for name in names if name not in outdated for s in self._manifest_at(name).segments}
        for name in outdated:
            for segment in self._manifest_at(name).segments:
                if segment.file not in keep:
                    self.folder.remove(segment.file)
            self.folder.remove(name)

    def _manifest_at(self, name: str) -> Manifest:
        return msgspec.json.decode(self.folder.read(name), type=Manifest)

    def _entries_of(self, segment: Segment) -> list[Entry]:
        data = self.folder.read(segment.file)
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise HistoryLost(f"{self.folder.url}/{segment.file} is not what was archived: restore the file")
        return from_parquet(data)


@dataclass(frozen=True, slots=True)
class Archived:
    """What one run of `archive` came to."""

    begin: int  # first archived version
    end: int  # last archived version
    added: int  # entries that this run added
    size_bytes: int  # of all segments


def archive(
    log: Log, store: Archive, *, rows: int = SEGMENT_ROWS, on_progress: OnProgress | None = None
) -> Archived:
    """Bring the archive up to the log's head at the call, wherever an earlier run ended.

    Raises `Misconfigured` for the archive of another log, `HistoryLost` if entries went between its end and
    the log's beginning, or the log is damaged; `Unavailable` if either is out of reach. Safe to repeat.
    """
    head = log.head()
    manifest = store.manifest() or Manifest(head.log_id)
    _check_log(manifest, head, store)
    added = 0
    lost = bool(manifest.segments) and not continues(log, manifest)
    if lost:
        manifest, pending = _back_to(last_common(log, store, manifest), store, manifest)
    else:
        manifest, pending = _reopen(store, manifest, rows, head)
    last = pending[-1] if pending else None
    version, chain = (last.version, last.chain) if last else (manifest.end, manifest.chain)
    for page in _pages(log, version, chain, head):
        pending += page
        added += len(page)
        while len(pending) >= rows:
            manifest, pending = store.add(manifest, pending[:rows]), pending[rows:]
            if on_progress is not None:
                on_progress(manifest.end, head.version)
    if pending:
        manifest = store.add(manifest, pending)
    elif lost:
        store.save(manifest)
    if added:
        store.clean()
    return Archived(manifest.begin, manifest.end, added, sum(each.size_bytes for each in manifest.segments))


def archived_version(log: Log, store: Archive) -> int:
    """Up to which version the archive holds this log's present history; 0 if it is another's, or differs."""
    manifest = store.manifest()
    if manifest is None or manifest.log_id != log.head().log_id or not continues(log, manifest):
        return 0
    return manifest.end


def continues(log: Log, manifest: Manifest) -> bool:
    """Whether the log goes on from an archive's end. Raises `HistoryLost` if entries between are gone."""
    end, chain = manifest.end, manifest.chain
    part = log.read(end, 1)
    if part.head.version <= end:
        return part.head.version == end and part.head.chain == chain
    first = part.entries[0] if part.entries else None
    if first is None or first.version > end + 1:
        raise HistoryLost(
            f"the archive ends at version {end}, the log begins later: entries between were trimmed before "
            "they were archived; archive into an empty folder from now on"
        )
    return first.chain == (chain if first.version == end else next_chain(chain, first.payload))


def last_common(log: Log, store: Archive, manifest: Manifest) -> int:
    """The last version that archive and log have in common. Equal chains are equal histories, so halving
    finds it."""
    low, high = manifest.begin - 1, min(manifest.end, log.head().version)
    while low < high:
        middle = (low + high + 1) // 2
        part = log.read(middle - 1, 1)
        here = next((entry for entry in part.entries if entry.version == middle), None)
        archived = store.entries(manifest, middle, 0)[0]
        # An entry that was trimmed tells nothing; the archive is the only one that has it.
        if here is None or here.chain == archived.chain:
            low = middle
        else:
            high = middle - 1
    if low == manifest.begin - 1 and low > 0:
        raise HistoryLost("archive and log have no entry in common: archive into an empty folder")
    return low


def _check_log(manifest: Manifest, head: Head, store: Archive) -> None:
    if manifest.log_id != head.log_id:
        raise Misconfigured(
            f"{store.folder.url} holds the log {manifest.log_id}, this one is {head.log_id}: "
            "name another folder, one for each log"
        )


def _back_to(version: int, store: Archive, manifest: Manifest) -> tuple[Manifest, list[Entry]]:
    """The archive as of an earlier version, with the entries of the segment that had to be cut."""
    logger.error(
        "the log lost what was archived after version %d (up to %d); the archive goes on from there, and the "
        "files of what was lost stay in %s",
        version,
        manifest.end,
        store.folder.url,
    )
    kept = tuple(each for each in manifest.segments if each.last <= version)
    cut = [each for each in manifest.segments if each.first <= version < each.last]
    pending = [entry for each in cut for entry in store.entries_of(each) if entry.version <= version]
    return Manifest(manifest.log_id, manifest.generation + 1, kept), pending


def _reopen(store: Archive, manifest: Manifest, rows: int, head: Head) -> tuple[Manifest, list[Entry]]:
    """A last segment that is not full is written anew with what follows, so that files stay few."""
    last = manifest.segments[-1] if manifest.segments else None
    if last is None or last.last - last.first + 1 >= rows or head.version == last.last:
        return manifest, []
    shorter = Manifest(manifest.log_id, manifest.generation, manifest.segments[:-1])
    return shorter, list(store.entries_of(last))


def _pages(log: Log, version: int, chain: str, head: Head) -> Iterator[list[Entry]]:
    """What follows a version up to the head, checked by the chain."""
    while version < head.version:
        part = log.read(version, min(PAGE, head.version - version))
        if part.head.log_id != head.log_id:
            raise HistoryLost("the log was created anew meanwhile: archive again, into another folder")
        page = [entry for entry in part.entries if version < entry.version <= head.version]
        if not version and page:
            # What was trimmed before the first archive is gone; its chain cannot be checked.
            version, chain = page[0].version - 1, "" if page[0].version > 1 else chain
        for entry in page:
            expected = next_chain(chain, entry.payload) if chain else entry.chain
            if entry.version != version + 1 or entry.chain != expected:
                raise HistoryLost(f"the log's history changed at version {version + 1}: archive again")
            version, chain = entry.version, entry.chain
        if not page:
            raise HistoryLost(f"the log no longer holds version {version + 1}: archive again")
        yield page
