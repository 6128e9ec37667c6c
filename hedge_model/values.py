"""Values of features and labels, as users send them, checked one by one.

>>> require_value("age", float("nan"))
Traceback (most recent call last):
    ...
ValueError: expected a finite number in 'age', received nan
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = float | int | str | bool | None  # of a feature; None: missing
Label: TypeAlias = str | int | float | bool

_FLOATS = {float}


def are_plain(x: Mapping[str, Value]) -> bool:
    """Whether all values are finite floats, as most events have them; False says nothing. A sum is not finite
    where one of its terms is not, and takes a tenth of the time that looking at each of them does."""
    return set(map(type, x.values())) == _FLOATS and math.isfinite(sum(x.values()))  # type: ignore[arg-type]


def require_value(name: str, value: object) -> None:
    """Raise `ValueError` unless `value` is a finite number, a string, a bool or None."""
    if value is None or isinstance(value, str):
        return
    try:
        finite = math.isfinite(value)  # type: ignore[arg-type]  # whatever is no number raises
    except TypeError:
        raise ValueError(
            f"expected a number, string, bool or null in '{name}', received {type(value).__name__}"
        ) from None
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"expected a finite number in '{name}', received {str(value)[:40]}")


def spellings(y: Label) -> tuple[str, ...]:
    """The class names that a label may mean, the likeliest first. Raises `ValueError` for what is no label.

    >>> spellings(True), spellings(2.0), spellings("a")
    (('true', '1'), ('2',), ('a',))
    """
    if isinstance(y, str):
        return (y,)
    if isinstance(y, bool):
        return ("true", "1") if y else ("false", "0")
    try:
        number = float(y)
        return (
            (str(int(number)) if number.is_integer() else repr(number),)
            if math.isfinite(number)
            else _refuse(y)
        )
    except (TypeError, ValueError, OverflowError):
        return _refuse(y)


def _refuse(y: object) -> tuple[str, ...]:
    raise ValueError(f"expected a class name as label, received {y!r:.80}")
