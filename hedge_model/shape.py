"""What a learner's arrays look like: sizes, places, and what else no event changes.

Learners of one model, such as those of its snapshots, share their shape. A learner that grows gets another.

>>> shape = Shape.of(ModelSpec(task="binary", classes=("no", "yes"), ramps=16)).with_fields(2)
>>> shape.columns, shape.ramped, shape.layout.classes
(34, 2, 2)
>>> shape.with_missing([1]).fields.tolist()
[[0, 0, -1, 0], [17, 1, 34, 1]]
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import (
    BESIDE_DEPTHS,
    KINDS_MAX,
    POINT_NUMBERS_MAX,
    RAMPS_FROM,
    RAMPS_TO,
    ROW_LIMIT,
    TABLE,
    glorot,
    key_of,
)
from hedge_model.kernel.plan import Plan, RowSizes
from hedge_model.layout import LANES, Layout, Memory, padded
from hedge_model.spec import CROSSES_MAX, FIELDS_MAX, ModelSpec

RAMP_INPUTS_MAX = 1_200  # no ramps where they would be more than this: many fields need them least
FIELD_INTS = 4  # of a number field, for the kernel
CATEGORY_INPUTS = 16  # categories of an event, as far as initial weights go, where fields are not declared

Ints = npt.NDArray[np.int64]
_layout, _memory = lru_cache(maxsize=64)(Layout), lru_cache(maxsize=64)(Memory)


@dataclass(frozen=True, eq=False)
class Shape:
    """A function of the spec and of what is known of the stream."""

    spec: ModelSpec
    classes: tuple[str, ...]  # in output order
    fields: (
        Ints  # [n, 4] per number field: column, ramp row or -1, missing indicator or -1, slot of the event
    )
    categories: int  # category fields
    columns: int  # dense inputs: numbers, their ramps and missing indicators

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Nothing known of the stream."""
        return cls(spec, tuple(spec.classes), np.zeros((0, FIELD_INTS), np.int64), 0, 0)

    # ------------------------------------------------------------------ growth

    def with_fields(self, count: int) -> Self:
        """Columns for `count` more number fields."""
        ramps = self.spec.ramps
        if ramps * (len(self.fields) + count) > RAMP_INPUTS_MAX:
            ramps = 0
        columns, ramped, rows = self.columns, self.ramped, []
        for slot in range(len(self.fields), len(self.fields) + count):
            rows.append((columns, ramped if ramps else -1, -1, slot))
            columns += 1 + ramps
            ramped += 1 if ramps else 0
        return replace(self, columns=columns, fields=np.concatenate([self.fields, np.array(rows, np.int64)]))

    def with_missing(self, fields: list[int]) -> Self:
        """Indicator columns for these number fields, behind all others."""
        grown = self.fields.copy()
        grown[fields, 2] = range(self.columns, self.columns + len(fields))
        return replace(self, columns=self.columns + len(fields), fields=grown)

    def with_classes(self, names: list[str]) -> Self:
        """Outputs for these classes."""
        return replace(self, classes=(*self.classes, *names))

    def with_categories(self, count: int) -> Self:
        """`count` category fields in all."""
        return replace(self, categories=count)

    # ------------------------------------------------------------------ sizes and places

    @cached_property
    def ramped(self) -> int:
        """Number fields that have ramps."""
        return int(np.count_nonzero(self.fields[:, 1] >= 0))

    @cached_property
    def layout(self) -> Layout:
        """Of the network."""
        outputs = 1 if self.spec.task == "regression" else len(self.classes)
        return _layout(self.spec.hidden_layers, self.spec.width, self.columns, outputs)

    @cached_property
    def memory(self) -> Memory:
        """Of the experts beside it."""
        spec = self.spec
        return _memory(
            spec.window,
            min(len(self.fields), POINT_NUMBERS_MAX),
            min(self.categories, KINDS_MAX),
            spec.task == "regression",
            1 if spec.task == "regression" else len(self.classes),
            spec.hidden_layers + 1 + (BESIDE_DEPTHS if spec.window else 0),
            len(self.fields),
        )

    @cached_property
    def rows(self) -> RowSizes:
        """A row of the first layer has its sum of squared gradients in a vector behind its weights; one of
        depth 0 those of the linear expert, and their sums of squares, behind its own."""
        apart, sections = self.spec.preset == "default", 3 if self.spec.window else 1
        stride = padded(self.spec.width) + (LANES if apart else 0)
        return RowSizes(stride, sections * padded(self.layout.classes), 2 * FIELDS_MAX + CROSSES_MAX)

    @cached_property
    def categorical(self) -> bool:
        """Whether events have as many categories (combinations count) as numbers, or more."""
        rows = self.categories + len(self.spec.crosses) if self.categories else 0
        return self.spec.preset == "default" and rows >= max(len(self.fields), 1)

    # ------------------------------------------------------------------ what the kernel reads

    @cached_property
    def plan(self) -> Plan:
        """Sizes and offsets."""
        fields = len(self.fields)
        return Plan.of(self.spec, self.layout, self.memory, fields, self.ramped, self.rows, self.categorical)

    @cached_property
    def plan_array(self) -> Ints:
        """The plan as compiled code takes it."""
        return self.plan.array()

    @cached_property
    def flat_fields(self) -> Ints:
        """The fields as compiled code takes them."""
        return self.fields.reshape(-1)

    @cached_property
    def settings(self) -> npt.NDArray[np.float64]:
        """Of the spec: learning rate, decay, exponent of the merits, s, fast start."""
        spec = self.spec
        exponent = -math.log(spec.beta)
        return np.array([spec.learning_rate, spec.decay, exponent, spec.s, float(spec.fast_start)])

    @cached_property
    def knots(self) -> npt.NDArray[np.float64]:
        """Where the ramps of a number begin, in standard deviations."""
        ramps = self.spec.ramps
        return RAMPS_FROM + np.arange(ramps) * (RAMPS_TO - RAMPS_FROM) / max(ramps, 1)

    @cached_property
    def table_key(self) -> np.uint64:
        """Hash key of the category rows' initial weights."""
        return key_of(self.spec.seed, TABLE)

    @cached_property
    def table_limit(self) -> np.float32:
        """Range of the category rows' initial weights."""
        if self.spec.preset == "default":
            return np.float32(ROW_LIMIT)
        inputs = CATEGORY_INPUTS
        if self.spec.fields is not None:
            inputs = sum(kind == "category" for kind in self.spec.fields.values()) + len(self.spec.crosses)
        return glorot(max(inputs, 1), self.spec.width)
