"""Events made ready for the compiled fold: Python's share of learning many, done apart from the learning.

Making ready changes nothing that the kernel works on, so it may go on while another thread learns the events
before these.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from hedge_model.encoder import Encoder, Features

Labelled: TypeAlias = tuple[Features, float, float]  # features, class index or target, weight

_NONE = np.zeros(1, np.int64)  # an empty array could not share memory


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as the kernel takes them; good until the fold that they are for grows."""

    numbers: npt.NDArray[np.float64]  # [n, fields], NaN where missing
    labels: npt.NDArray[np.float64]  # [n] class index, or target
    weights: npt.NDArray[np.float64]  # [n]
    present: npt.NDArray[np.int64]  # [n] how many numbers each event has
    rows: npt.NDArray[np.int64]  # category rows of all events, one event after the other
    counts: npt.NDArray[np.int64]  # [n] how many rows each event has
    plain: bool = False  # all of them have every number and no category; the last three are not filled

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def plain_of(cls, encoder: Encoder, events: Sequence[Labelled]) -> Self | None:
        """Of events that have a number in each known field, and nothing else; None if any is another."""
        slots = len(encoder.slots)
        if encoder.categories or slots < 2 or not events:
            return None
        values_of = itemgetter(*encoder.slots)
        values: list[Any] = []
        try:
            for x, _, _ in events:
                if len(x) != slots:
                    return None
                values += values_of(x)
            if not {float, int}.issuperset(map(type, values)):
                return None
            numbers = array("d", values)
        except (KeyError, TypeError, OverflowError):  # which of them it is, and why, others say
            return None
        return cls._of(numbers, events, [_NONE] * 3, plain=True)

    @classmethod
    def of(cls, encoder: Encoder, events: Sequence[Labelled], *, has_rows: bool) -> Self:
        """Of the first events, up to one that brings a new field, is refused, or has categories where there
        are no rows for them yet."""
        numbers, rows, counts, present = array("d"), array("q"), array("q"), array("q")
        for x, _, _ in events:
            try:
                is_new = encoder.read(x)
            except ValueError:
                break
            if is_new or (encoder.rows and not has_rows):
                break
            numbers += encoder.values
            rows.extend(encoder.rows)
            counts.append(len(encoder.rows))
            present.append(encoder.present)
        taken = events[: len(counts)]
        integers = [np.array(each, np.int64) for each in (present, rows, counts)]
        return cls._of(numbers, taken, integers)

    @classmethod
    def _of(
        cls,
        numbers: Sequence[float],
        events: Sequence[Labelled],
        integers: Sequence[npt.NDArray[np.int64]],
        plain: bool = False,
    ) -> Self:
        present, rows, counts = integers
        shape = (len(events), len(numbers) // max(len(events), 1))
        return cls(
            np.array(numbers, np.float64).reshape(shape),
            np.array([label for _, label, _ in events], np.float64),
            np.array([weight for _, _, weight in events], np.float64),
            present,
            rows,
            counts,
            plain,
        )
