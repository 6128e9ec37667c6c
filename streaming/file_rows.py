"""The rows of a CSV or Parquet file, for a backfill.

A file's source is `backfill:<name>:<hash>`, the hash over its bytes and the columns that were chosen: a file
that was renamed is the same source, one with a row more is another.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from odl.archive_file import arrow
from odl.errors import Misconfigured
from streaming.backfill import Row
from streaming.row_events import Columns

Read: TypeAlias = Callable[[], Iterator[Mapping[str, Any]]]  # the rows, from the beginning

READ_BYTES = 1 << 20
HASH_LENGTH = 16  # hex digits: 64 bits tell more files apart than anybody has


class FileRows:
    """The rows of one file, numbered from 1."""

    def __init__(
        self,
        path: Path,
        columns: Columns,
        read: Read,
        total: int,
        *,
        number_labels: bool,
    ) -> None:
        """`read`: the rows from the beginning; `total`: how many; `number_labels`: of a regression."""
        self.total = total
        self._columns = columns
        self._read = read
        self._number_labels = number_labels
        self.hash = content_hash(path, columns)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name)[:80]
        self.source = f"backfill:{name}:{self.hash}"

    def after(self, positions: Mapping[str, str]) -> Iterator[Row]:
        """The rows after the stored position."""
        self.source = next(
            (each for each in positions if each.startswith("backfill:") and each.endswith(f":{self.hash}")),
            self.source,
        )
        stored = int(positions.get(self.source, "0"))
        for number, row in enumerate(self._read(), 1):
            if number > stored:
                content = self._columns.content(
                    row, default_id=f"{self.hash}/{number}", number_labels=self._number_labels
                )
                yield Row(self.source, str(number), content, f"row {number}")


def content_hash(path: Path, columns: Columns) -> str:
    """Of a file's bytes and the meaning of its columns."""
    digest = hashlib.sha256("\0".join((columns.label, columns.id, columns.time)).encode())
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()[:HASH_LENGTH]


def parquet_rows(path: Path) -> tuple[list[str], int, Read]:
    """Columns, number of rows, and the rows of a Parquet file. Raises `Misconfigured`."""
    pyarrow, parquet = arrow()
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise Misconfigured(f"{path} cannot be read as Parquet: {error}") from error

    def read() -> Iterator[Mapping[str, Any]]:
        for batch in file.iter_batches():
            yield from batch.to_pylist()

    return list(file.schema_arrow.names), int(file.metadata.num_rows), read
