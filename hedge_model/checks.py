"""Checks of single settings whose errors name the setting, the allowed range and what was received."""

import math


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"expected {name} as one of {', '.join(choices)}, received {value!r:.80}")


def require_int(name: str, value: object, low: int, high: int) -> None:
    """Raise `ValueError` unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"expected {name} from {low} to {high}, received {value!r:.80}")


def require_float(name: str, value: object, above: float, below: float) -> float:
    """`value` as a float. Raises `ValueError` unless it is a number strictly between `above` and `below`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(
            f"expected {name} as a number between {above:g} and {below:g}, received {value!r:.80}"
        )
    if not above < value < below:
        raise ValueError(
            f"expected {name} between {above:g} and {below:g} (both excluded), received {value!r}"
        )
    return float(value)
