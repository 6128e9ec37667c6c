"""A CSV file as a stream of examples: a column is numbers if every value in it is one, else categories."""

import csv
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from odl.errors import Misconfigured
from odl.event import Features

MISSING = frozenset(
    {"", "NA", "NaN", "nan", "null", "None", "?"}
)  # what files write where a value is missing


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file with a header, typed by a first pass over it."""

    path: Path
    names: tuple[str, ...]  # columns in file order
    numbers: frozenset[str]  # columns of numbers only
    rows: int

    def examples(self, text: Collection[str] = ()) -> Iterator[Features]:
        """Row by row: column -> number, string, or None where missing; columns in `text` as they stand."""
        numbers = self.numbers - set(text)
        with self.path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {name: _value(row[name], name in numbers) for name in self.names}


def open_table(path: Path) -> Table:
    """The table in a CSV file. Raises `Misconfigured` for one without a header, rows, or equal lengths."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            names = tuple(reader.fieldnames or ())
            numbers, rows = set(names), 0
            for row in reader:
                rows += 1
                if None in row or None in row.values():
                    raise Misconfigured(f"{path} row {rows}: expected {len(names)} values, as the header has")
                numbers -= {name for name in numbers if not _is_number(row[name])}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise Misconfigured(f"{path}: expected a header and at least one row")
    return Table(path, names, frozenset(numbers), rows)


def _value(text: str | None, is_number: bool) -> float | str | None:
    if text is None or text in MISSING:
        return None
    return float(text) if is_number else text


def _is_number(text: str) -> bool:
    if text in MISSING:
        return True
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
