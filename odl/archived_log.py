"""A log together with its archive, read as one history."""

from typing import Any

from odl.archive import Archive, Manifest, continues
from odl.errors import HistoryLost, Misconfigured
from odl.log import Head, Log, Slice


class ArchivedLog:
    """`log`, whose reads also find what was trimmed after it had been archived. Whoever folds checks the
    chain, across the border as everywhere."""

    def __init__(self, log: Log, store: Archive) -> None:
        """Raises `Misconfigured` without an archive or for that of another log, `HistoryLost` if the archive
        does not lead on to the log."""
        manifest = store.manifest()
        if manifest is None:
            raise Misconfigured(f"there is no archive in {store.folder.url}: make one with `odl archive`")
        head = log.head()
        if manifest.log_id != head.log_id:
            raise Misconfigured(
                f"{store.folder.url} holds the log {manifest.log_id}, this one is {head.log_id}: name its own"
            )
        if not continues(log, manifest):
            raise HistoryLost(
                f"the log does not continue its archive at version {manifest.end}: it lost history; "
                "`odl archive` goes back to what both have"
            )
        self._log = log
        self._store = store
        self._manifest: Manifest = manifest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def head(self) -> Head:
        """The head now."""
        return self._log.head()

    def read(self, version: int, count: int) -> Slice:
        """As `Log.read`; entries that the log no longer holds come from the archive."""
        part = self._log.read(version, count)
        first = part.entries[0].version if part.entries else part.head.version + 1
        if part.head.version <= version or first <= max(version, 1) or version >= self._manifest.end:
            return part
        return Slice(part.head, self._store.entries(self._manifest, version, count))
