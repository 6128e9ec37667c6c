"""What one step of a reader reads: the log from its place on, in pages, each when it is asked for."""

from collections.abc import Iterator

from odl.errors import OdlError
from odl.log import Entry, Log, Slice
from odl.relation import Relation, relation

FIRST = 64  # entries of the first page: nothing is learned while it is on its way
GROWTH = 1.5  # of the pages after it, each of which is fetched while the one before is learned
PAGE_MAX = 512


class Reading:
    """Pages of a log. It means what as many reads one after the other mean: each continues the one before by
    its chain, and `head` and `entries` are those of the last."""

    def __init__(self, log: Log, version: int, count: int) -> None:
        """Reads the first page after `version`; all pages hold up to `count` entries. Raises what that read
        raises. Whether it continues the reader's history is for the reader to judge by `first`."""
        self._log, self._version, self._last = log, version, version + count
        self.first = log.read(version, min(count, FIRST))
        self.head = self.first.head
        self.entries = list(self.first.entries)  # of all pages, and the reader's own before them

    def __iter__(self) -> Iterator[list[Entry]]:
        """The entries after the reader's own, page by page. Ends early where the log cannot be read on, or
        does not continue what was read: the reader meets that again when it reads next."""
        version, part, size = self._version, self.first, FIRST
        while True:
            page = [entry for entry in part.entries if entry.version > version]
            if page:
                yield page
            if not page or (version := page[-1].version) >= min(self.head.version, self._last):
                return
            size = min(int(size * GROWTH), PAGE_MAX)
            following = self._follow(page[-1], size)
            if following is None:
                return
            part = following
            self.head = part.head
            self.entries += [entry for entry in part.entries if entry.version > version]

    def _follow(self, last: Entry, size: int) -> Slice | None:
        try:
            part = self._log.read(last.version, min(self._last - last.version, size))
        except OdlError:
            return None
        is_same = (part.head.log_id, part.head.fold_id) == (self.head.log_id, self.head.fold_id)
        continues = relation(last.version, last.chain, part) is Relation.CONTINUES
        return part if is_same and continues else None
