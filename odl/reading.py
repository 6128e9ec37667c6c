"""What one step of a reader reads: the log from its place on, in pages, each when it is asked for."""

from collections.abc import Iterator

from odl.errors import OdlError
from odl.log import Coming, Entry, Log, Slice
from odl.relation import Relation, relation

FIRST = 64  # entries of the first page: nothing is learned while it is on its way
GROWTH = 2  # of the pages after it, each of which is fetched while the one before is learned
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
        page, part, size = self._new(self.first, self._version), self.first, FIRST
        while page and page[-1].version < min(part.head.version, self._last):
            last, size = page[-1], min(size * GROWTH, PAGE_MAX)
            coming = begin(self._log, part, last.version, min(self._last - last.version, size))
            try:
                yield page
                following = self._follow(last, coming)
            finally:
                coming.drop()
            if following is None:
                return
            part, page = following, self._new(following, last.version)
            self.head = part.head
            self.entries += page
        if page:
            yield page

    def _new(self, part: Slice, version: int) -> list[Entry]:
        entries = part.entries
        return entries[1:] if entries and entries[0].version == version else entries

    def _follow(self, last: Entry, coming: Coming) -> Slice | None:
        try:
            part = coming.get()
        except OdlError:
            return None
        is_same = (part.head.log_id, part.head.fold_id) == (self.head.log_id, self.head.fold_id)
        continues = relation(last.version, last.chain, part) is Relation.CONTINUES
        return part if is_same and continues else None


def begin(log: Log, part: Slice, version: int, count: int) -> Coming:
    """A read that goes on after `part`: under way already where the log can do that, else made by `get`."""
    return part.begin(version, count) if part.begin else Coming(lambda: log.read(version, count))
