"""Label values that come from outside, kept to a bounded number: every one is a time series for ever.

>>> sources = BoundedLabels(2)
>>> [sources.name(source) for source in ("rest:a", "rest:b", "rest:c", "rest:a")]
['rest:a', 'rest:b', 'other', 'rest:a']
"""

OTHER = "other"
NAMES_MAX = 50


class BoundedLabels:
    """The first names that came have a series each; all later ones share `other`."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._names: dict[str, str] = {}

    def name(self, source: str) -> str:
        """What to put into the label. Safe from many threads: at worst, a few names too many are kept."""
        if len(self._names) < self._names_max:
            return self._names.setdefault(source, source)
        return self._names.get(source, OTHER)
