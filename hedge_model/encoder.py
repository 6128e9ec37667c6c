"""Features as users send them → numbers for the standardising kernel, and rows of hashed categories.

Numbers become dense inputs. Strings and bools become rows of a hashed table, together with the name of their
field: `("city", "Rome")` is the same row in every process, for the hash is BLAKE2b, never Python's own.
A field that is absent or None is missing: a number is then zero with an indicator input, a category has a row
of its own for that.
"""

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping
from typing import NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from hedge_model.spec import FIELDS_MAX, ModelSpec
from hedge_model.values import Value, require_value

Features: TypeAlias = Mapping[str, Value]  # field name -> value
ROWS_CACHED_MAX = 100_000  # hashes are remembered up to here, then forgotten at once


def category_text(value: float | int | str | bool) -> str:
    """The category that a value spells: `1`, `1.0` and `"1"` are one category.

    >>> [category_text(v) for v in ("Rome", True, 7, 7.0, 0.5)]
    ['Rome', 'true', '7', '7', '0.5']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def hashed(names: Iterable[str], texts: Iterable[str | None], bits: int) -> int:
    """The row of a category (or of a combination of several) in a table of 2**bits rows.

    >>> hashed(["city"], ["Rome"], 16), hashed(["city"], [None], 16)
    (13307, 7198)
    """
    parts = (
        f"{name}\x1f{'' if text is None else '=' + text}" for name, text in zip(names, texts, strict=True)
    )
    digest = hashlib.blake2b("\x1e".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - bits)


class Encoder:
    """Knows the fields of a model; `read` turns one event into `values` and `rows`.

    Fields are known when declared, else from the first event learned that has them.
    """

    def __init__(
        self, spec: ModelSpec, slots: Mapping[str, int] | None = None, categories: Iterable[str] = ()
    ) -> None:
        """`slots`, `categories`: what was known when a state was stored."""
        self.spec = spec
        self.slots = dict(slots or {})  # number field -> its position in `values`
        self.categories = dict.fromkeys(categories)  # category fields, in the order their rows are added up
        self.values: array[float]  # the event's numbers, NaN where missing
        self.rows: list[int] = []  # the event's rows of the table
        self.present = 0  # how many numbers the event had
        self._blank: array[float]
        self._rows: dict[tuple[str | int, str | None | tuple[str | None, ...]], int] = {}
        self._make_room()

    def numbers_view(self) -> npt.NDArray[np.float64]:
        """`values` as one row of events, sharing their memory."""
        return np.frombuffer(self.values, np.float64).reshape(1, -1)

    def know(self, numbers: Iterable[str], categories: Iterable[str]) -> None:
        """Make fields known, in sorted order."""
        for name in sorted(set(numbers) - set(self.slots)):
            self.slots[name] = len(self.slots)
        for name in sorted(set(categories) - set(self.categories)):
            self.categories[name] = None
        self._make_room()

    def _make_room(self) -> None:
        if len(self.slots) + len(self.categories) > 2 * FIELDS_MAX:
            raise ValueError(f"expected at most {FIELDS_MAX} different fields over all events")
        length = max(len(self.slots), 1)  # an empty array could not share memory
        self._blank = array("d", [math.nan]) * length
        self.values = array("d", self._blank)

    def new_fields(self, x: Features) -> tuple[list[str], list[str]]:
        """Number and category fields of `x` that are not known yet; none if fields are declared."""
        numbers, categories = [], []
        if self.spec.fields is None:
            for name, value in x.items():
                if isinstance(value, str | bool):
                    if name not in self.categories:
                        categories.append(name)
                elif value is not None and name not in self.slots:
                    numbers.append(name)
        return numbers, categories

    def read(self, x: Features) -> bool:
        """Fill `values`, `present` and `rows`; True if `x` has fields that are not known yet, which are left
        out of `values`. Raises `ValueError` for what the spec does not allow."""
        values, slots, categories = self.values, self.slots, self.categories
        try:
            items = x.items()
        except AttributeError:
            raise ValueError(
                f"expected features as a mapping from names to values, received {type(x).__name__}"
            ) from None
        values[:] = self._blank
        present = 0
        others = False  # something that is neither a plain number of a known field nor a known category
        for name, value in items:
            kind = type(value)
            if kind is float or kind is int:
                slot = slots.get(name)
                if slot is None:
                    others = True
                    continue
                try:
                    values[slot] = value  # type: ignore[assignment]  # a number, by its type
                except OverflowError:
                    require_value(name, value)
                present += 1
            elif kind is not str or name not in categories:
                others = True
        self.present = present
        self.rows.clear()
        if others:
            self.present += self._read_others(x)
        if categories or others:
            self._read_categories(x)
        if self.spec.fields is not None:
            return False
        return others and any(self.new_fields(x))

    def refuse(self, x: Features) -> NoReturn:
        """Raise the `ValueError` that explains why the numbers of `x` cannot be taken."""
        self.spec.check_features(x)
        for name, value in x.items():
            require_value(name, value)
        raise ValueError("expected finite numbers, received one that is not")

    def _read_others(self, x: Features) -> int:
        """Check the whole event; take numbers of other types. Returns how many there were."""
        self.spec.check_features(x)
        found = 0
        for name, value in x.items():
            kind = type(value)
            if kind is float or kind is int or isinstance(value, str | bool) or value is None:
                continue
            slot = self.slots.get(name)  # numbers of other types, such as NumPy's
            if slot is not None:
                self.values[slot] = float(value)
                found += 1
        return found

    def _read_categories(self, x: Features) -> None:
        texts: dict[str, str | None] = {}
        declared = self.spec.fields is not None
        names = list(self.categories)
        if not declared:
            names += sorted(n for n, v in x.items() if isinstance(v, str | bool) and n not in self.categories)
        for name in names:
            value = x.get(name)
            if value is not None and not declared and not isinstance(value, str | bool):
                continue  # a number this time
            text = None if value is None else category_text(value)
            texts[name] = text
            self.rows.append(self._row(name, text))
        for number, cross in enumerate(self.spec.crosses):
            combination = tuple(texts.get(name) for name in cross)
            key = (number, combination)
            row = self._rows.get(key)
            if row is None:
                row = self._remember(key, hashed(cross, combination, self.spec.hash_bits))
            self.rows.append(row)

    def _row(self, name: str, text: str | None) -> int:
        row = self._rows.get((name, text))
        if row is None:
            row = self._remember((name, text), hashed([name], [text], self.spec.hash_bits))
        return row

    def _remember(self, key: tuple[str | int, str | None | tuple[str | None, ...]], row: int) -> int:
        if len(self._rows) >= ROWS_CACHED_MAX:
            self._rows.clear()
        self._rows[key] = row
        return row
