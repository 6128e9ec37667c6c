"""What a model is: its task, fields, size and rates, checked when it is made and never changed after.

>>> spec = ModelSpec(task="binary", classes=("no", "yes"), fields={"age": "number", "city": "category"})
>>> spec.hidden_layers, spec.width, spec.learning_rate
(3, 100, 0.001)
>>> spec.check_features({"age": 31, "town": "Rome"})
Traceback (most recent call last):
    ...
ValueError: expected 2 features (age, city), received 2: unknown 'town'
>>> ModelSpec(hidden_layers=-1)
Traceback (most recent call last):
    ...
ValueError: expected hidden_layers from 0 to 64, received -1
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias

from hedge_model.checks import require_choice, require_float, require_int
from hedge_model.values import Label, Value, are_plain, require_value, spellings

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
FieldKind: TypeAlias = Literal["number", "category"]

TASKS = ("binary", "multiclass", "regression")
FIELD_KINDS = ("number", "category")

LAYERS_MAX = 64  # far beyond what gains anything; bounds the buffer
WIDTH_MAX = 1_024
CLASSES_MAX = 1_024  # every class costs (hidden_layers + 1) rows of weights
CLASS_NAME_MAX = 200
FIELDS_MAX = 4_096
CROSSES_MAX = 256
HASH_BITS_MAX = 22
RAMPS_MAX = 16  # one vector of lanes
WINDOW_MIN = 250  # one of the experts looks at as many
WINDOW_MAX = 65_536  # the ring of the last events takes 256 bytes each at 64 fields
FAST_START_MAX = 100
OF_PRESET: Any = None  # a default that the preset decides

_DEFAULT: Mapping[str, float] = MappingProxyType(
    {
        "hidden_layers": 3,
        "learning_rate": 0.001,
        "fast_start": 4,
        "beta": math.exp(-1),
        "s": 0.001,
        "ramps": 16,
        "window": 2_000,
    }
)
# What each preset decides. "default": factored RMS steps, residual normalised layers, ramps, and beside the
# depths experts of the last label and of the nearest events, stacked. "g16": five such layers alone, a Bayes
# mixture with a fixed share. "paper": Sahoo et al., "Online Deep Learning", IJCAI 2018, as published.
PRESETS: Mapping[str, Mapping[str, float]] = {
    "default": _DEFAULT,
    "g16": {**_DEFAULT, "hidden_layers": 5, "fast_start": 0, "window": 0},
    "paper": {
        "hidden_layers": 20,
        "learning_rate": 0.01,
        "fast_start": 0,
        "beta": 0.99,
        "s": 0.2,
        "ramps": 0,
        "window": 0,
    },
}


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model's definition. Everything has a default; `fields=None` learns the fields from the stream."""

    task: Task = "multiclass"
    classes: tuple[str, ...] = ()  # class names in output order; empty: learned from the stream
    fields: Mapping[str, FieldKind] | None = None  # name -> "number" | "category"; None: learned
    grow_classes: bool = False  # also accept labels beyond `classes`; always so when `classes` is empty
    crosses: tuple[tuple[str, ...], ...] = ()  # category fields whose combinations are inputs too
    preset: Literal["default", "g16", "paper"] = "default"  # arithmetic of the step
    hidden_layers: int = OF_PRESET  # L; 0 leaves the linear classifier alone
    width: int = 100  # units of a hidden layer, H
    learning_rate: float = OF_PRESET
    fast_start: int = OF_PRESET  # the first steps are 1 + this times as long, half of it after 100 events
    beta: float = OF_PRESET  # a depth's weight is multiplied by beta**loss, in (0, 1)
    s: float = OF_PRESET  # share of the weights that is kept equal over the depths, in (0, 1)
    decay: float = 0.999  # of the running mean squares of the default optimiser, in (0, 1)
    ramps: int = OF_PRESET  # piecewise linear inputs per number, 0 for none
    window: int = OF_PRESET  # events that experts beside the depths remember, 0 for no such experts
    hash_bits: int = 16  # categories share 2**hash_bits rows of the first layer
    seed: int = 0  # of the initial weights
    canonical: str = field(init=False, repr=False)  # `to_dict` as JSON with sorted keys
    spec_hash: str = field(init=False, repr=False)  # its SHA-256, 64 hex digits; equal specs, equal hashes

    def __post_init__(self) -> None:
        require_choice("preset", self.preset, tuple(PRESETS))
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check_values()
        object.__setattr__(self, "classes", _checked_classes(self.task, self.classes))
        object.__setattr__(self, "fields", _checked_fields(self.fields))
        object.__setattr__(self, "crosses", _checked_crosses(self.crosses, self.fields))
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "canonical", canonical)
        object.__setattr__(self, "spec_hash", hashlib.sha256(canonical.encode()).hexdigest())

    def _check_values(self) -> None:
        require_choice("task", self.task, TASKS)
        if not isinstance(self.grow_classes, bool):
            raise ValueError(f"expected grow_classes true or false, received {self.grow_classes!r}")
        for name, low, high in (
            ("hidden_layers", 0, LAYERS_MAX),
            ("width", 1, WIDTH_MAX),
            ("ramps", 0, RAMPS_MAX),
            ("fast_start", 0, FAST_START_MAX),
            ("window", 0, WINDOW_MAX),
            ("hash_bits", 1, HASH_BITS_MAX),
            ("seed", 0, 2**63 - 1),
        ):
            require_int(name, getattr(self, name), low, high)
        for name, below in (("learning_rate", 10.0), ("beta", 1.0), ("s", 1.0), ("decay", 1.0)):
            object.__setattr__(self, name, require_float(name, getattr(self, name), 0.0, below))
        if 0 < self.window < WINDOW_MIN:
            raise ValueError(
                f"expected window 0 or from {WINDOW_MIN} to {WINDOW_MAX}, received {self.window}"
            )
        if self.preset == "paper" and (self.window or self.fast_start):
            raise ValueError(
                f"expected window 0 and fast_start 0 with preset 'paper', which is the network as published, "
                f"received {self.window} and {self.fast_start}"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelSpec) and self.spec_hash == other.spec_hash

    def __hash__(self) -> int:
        return hash(self.spec_hash)

    @property
    def grows(self) -> bool:
        """Whether labels that were never declared add an output."""
        return self.task != "regression" and (self.grow_classes or not self.classes)

    @property
    def classes_max(self) -> int:
        """The most outputs the model can have."""
        return {"binary": 2, "multiclass": CLASSES_MAX, "regression": 1}[self.task]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` takes it back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        plain["classes"] = list(self.classes)
        plain["fields"] = None if self.fields is None else dict(self.fields)
        plain["crosses"] = [list(cross) for cross in self.crosses]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The spec of `to_dict` or of a TOML table. Raises `ValueError` naming keys it does not know."""
        known = {f.name for f in fields(cls) if f.init}
        unknown = sorted(set(plain) - known)
        if unknown:
            raise ValueError(
                f"unknown model settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return cls(**plain)

    def check_features(self, x: Mapping[str, Value]) -> None:
        """Raise `ValueError` unless `x` can be predicted. Declared fields may be absent or None (missing)."""
        if self.fields is None:
            if len(x) > FIELDS_MAX:
                raise ValueError(f"expected at most {FIELDS_MAX} features, received {len(x)}")
            for name, value in x.items():
                require_value(name, value)
            return
        if x.keys() <= self.fields.keys() and are_plain(x):
            return
        for name, value in x.items():
            kind = self.fields.get(name)
            if kind is None:
                raise ValueError(self._mismatch(x))
            require_value(name, value)
            if kind == "number" and isinstance(value, str | bool):
                raise ValueError(f"expected a number in '{name}', received {value!r}")

    def _mismatch(self, x: Mapping[str, Value]) -> str:
        declared = self.fields or {}
        names = ", ".join(list(declared)[:8]) + (", …" if len(declared) > 8 else "")
        unknown = ", ".join(f"'{name}'" for name in [n for n in x if n not in declared][:4])
        return f"expected {len(declared)} features ({names}), received {len(x)}: unknown {unknown}"

    def check_label(self, y: Label) -> None:
        """Raise `ValueError` unless `y` can be learned."""
        if self.task == "regression":
            self.target(y)
        else:
            self.class_name(y)

    def target(self, y: Label) -> float:
        """The number to regress on. Raises `ValueError` for anything but a finite number."""
        if isinstance(y, str | bool):
            raise ValueError(f"expected a number as label, received {y!r}")
        try:
            value = float(y)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"expected a finite number as label, received {y!r:.80}") from None
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number as label, received {y!r}")
        return value

    def class_name(self, y: Label) -> str:
        """The class that a label means. A number or bool is the class it spells: 1, 1.0 and True are "1",
        and True is "true" where that is a class or where classes are learned from the stream."""
        candidates = spellings(y)
        for name in candidates:
            if name in self.classes:
                return name
        if not self.grows:
            shown = ", ".join(self.classes[:8]) + (", …" if len(self.classes) > 8 else "")
            raise ValueError(f"expected one of {len(self.classes)} classes ({shown}), received {y!r:.80}")
        if not 1 <= len(candidates[0]) <= CLASS_NAME_MAX:
            raise ValueError(
                f"expected a class name of 1 to {CLASS_NAME_MAX} characters, received {len(candidates[0])}"
            )
        return candidates[0]


def _checked_classes(task: str, classes: object) -> tuple[str, ...]:
    if isinstance(classes, str) or not isinstance(classes, list | tuple):
        raise ValueError(f"expected a list of class names, received {classes!r:.80}")
    for name in classes:
        if not isinstance(name, str) or not 1 <= len(name) <= CLASS_NAME_MAX:
            raise ValueError(
                f"expected class names of 1 to {CLASS_NAME_MAX} characters, received {name!r:.80}"
            )
    if len(set(classes)) != len(classes):
        raise ValueError("expected different class names, received one twice")
    allowed = {"binary": (0, 2), "multiclass": (0, *range(2, CLASSES_MAX + 1)), "regression": (0,)}[task]
    if len(classes) not in allowed:
        meant = {"binary": "0 or 2", "multiclass": f"0 or 2 to {CLASSES_MAX}", "regression": "0"}[task]
        raise ValueError(f"expected {meant} classes for task '{task}', received {len(classes)}")
    return tuple(classes)


def _checked_fields(declared: object) -> Mapping[str, FieldKind] | None:
    if declared is None:
        return None
    if not isinstance(declared, Mapping) or not 1 <= len(declared) <= FIELDS_MAX:
        raise ValueError(
            f"expected fields as 1 to {FIELDS_MAX} names with a kind each, received {declared!r:.80}"
        )
    for name, kind in declared.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected field names that are not empty, received {name!r}")
        require_choice(f"the kind of field '{name}'", kind, FIELD_KINDS)
    return MappingProxyType({name: declared[name] for name in sorted(declared)})


def _checked_crosses(
    crosses: object, declared: Mapping[str, FieldKind] | None
) -> tuple[tuple[str, ...], ...]:
    if not isinstance(crosses, list | tuple) or len(crosses) > CROSSES_MAX:
        raise ValueError(
            f"expected up to {CROSSES_MAX} crosses as lists of field names, received {crosses!r:.80}"
        )
    for cross in crosses:
        if not isinstance(cross, list | tuple) or len(set(cross)) != len(cross) or len(cross) < 2:
            raise ValueError(f"expected a cross of two or more different field names, received {cross!r:.80}")
        for name in cross:
            if declared is not None and declared.get(name) != "category":
                raise ValueError(f"expected crosses of declared category fields, received {name!r:.80}")
    return tuple(tuple(cross) for cross in crosses)
