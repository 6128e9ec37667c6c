"""Many events at once: the rows of a matrix through the compiled fold, which stops where the model grows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hedge_model.spec import ModelSpec
from hedge_model.values import Label


@dataclass(frozen=True)
class Rows:
    """Checked rows of events."""

    numbers: npt.NDArray[np.float32]  # [n, d], NaN where missing
    names: tuple[str, ...]  # of the columns
    labels: npt.NDArray[np.float64]  # [n] class index or target; empty when predicting
    new_classes: tuple[str, ...]  # classes beyond the known ones, in the order of their first event
    weights: npt.NDArray[np.float64]  # [n]

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def column(self) -> dict[str, int]:
        """Name -> column."""
        return {name: column for column, name in enumerate(self.names)}


def check_rows(
    spec: ModelSpec,
    classes: Sequence[str],
    X: npt.ArrayLike,
    y: Sequence[Label] | npt.NDArray[Any] | None,
    names: Sequence[str] | None,
    weights: npt.ArrayLike | None,
) -> Rows:
    """Rows ready to fold. Raises `ValueError` for wrong shapes, names or labels, and infinite numbers."""
    numbers = np.ascontiguousarray(X, dtype=np.float32)
    if numbers.ndim != 2:
        raise ValueError(f"expected X of shape [n, d], received {numbers.shape}")
    columns = tuple(str(j) for j in range(numbers.shape[1])) if names is None else tuple(names)
    if len(columns) != numbers.shape[1] or len(set(columns)) != len(columns):
        raise ValueError(f"expected {numbers.shape[1]} different names, received {len(set(columns))}")
    for name in columns:
        spec.check_features({name: 0.0})
    if np.isinf(numbers).any():
        raise ValueError("expected finite numbers (NaN for missing) in X, received an infinite one")
    labels, new = (np.zeros(0), ()) if y is None else _labels(spec, classes, np.asarray(y), len(numbers))
    importance = np.ones(len(numbers)) if weights is None else np.asarray(weights, np.float64)
    if importance.shape != (len(numbers),) or not (np.isfinite(importance) & (importance > 0)).all():
        raise ValueError(f"expected {len(numbers)} finite weights above 0, received shape {importance.shape}")
    return Rows(numbers, columns, labels, new, importance)


def _labels(
    spec: ModelSpec, classes: Sequence[str], y: npt.NDArray[Any], length: int
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    if y.shape != (length,):
        raise ValueError(f"expected {length} labels, received shape {y.shape}")
    distinct, first, inverse = np.unique(y, return_index=True, return_inverse=True)
    if spec.task == "regression":
        return np.array([spec.target(value) for value in distinct.tolist()])[inverse], ()
    index = {name: k for k, name in enumerate(classes)}
    of_distinct = np.zeros(len(distinct))
    plain = distinct.tolist()
    for k in np.argsort(first, kind="stable"):
        of_distinct[k] = index.setdefault(spec.class_name(plain[k]), len(index))
    if len(index) > spec.classes_max:
        raise ValueError(
            f"expected at most {spec.classes_max} classes for task '{spec.task}', received {len(index)}"
        )
    return of_distinct[inverse], tuple(index)[len(classes) :]


def first_rows(rows: Rows, known: Callable[[str], bool]) -> dict[str, int]:
    """Column -> the first row that has a number in it, of columns that are not known yet."""
    found = {}
    for column, name in enumerate(rows.names):
        if not known(name):
            there = ~np.isnan(rows.numbers[:, column])
            if there.any():
                found[name] = int(there.argmax())
    return found


def events_of(rows: Rows, slots: Iterable[str], row: int) -> npt.NDArray[np.float64]:
    """One row's numbers in the order of slots, NaN where there is none."""
    numbers, column = rows.numbers[row], rows.column
    return np.array([numbers[column[name]] if name in column else np.nan for name in slots], np.float64)
