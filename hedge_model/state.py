"""Everything that a fold has learned, as arrays, and how it grows: new columns, new classes."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import (
    BESIDE_DEPTHS,
    DECAYED,
    FIELD_NUMBERS,
    HEAD,
    HEAD_NUMBERS,
    HIDDEN,
    INPUT,
    KINDS_MAX,
    NO_KIND,
    POINT_NUMBERS_MAX,
    RAMP_NUMBERS,
    RAMPS_FROM,
    RAMPS_TO,
    TABLE,
    glorot,
    key_of,
)
from hedge_model.kernel.initial import fill_matrix
from hedge_model.kernel.plan import Plan
from hedge_model.layout import Floats, Layout, Memory, padded
from hedge_model.spec import CROSSES_MAX, FIELDS_MAX, ModelSpec

RAMP_INPUTS_MAX = 1_200  # no ramps where they would be more than this: many fields need them least
LEARNED = 2  # in `touched`: the row differs from its initial weights
CATEGORY_INPUTS = 16  # categories of an event, as far as initial weights go, where fields are not declared


class State:
    """The arrays of one learner, and the working memory of the kernel."""

    def __init__(
        self,
        spec: ModelSpec,
        field_rows: list[list[int]],
        columns: int,
        classes: Sequence[str],
        categories: int,
    ) -> None:
        """Arrays of this shape, to be filled; `of` makes the state of version 0."""
        self.spec = spec
        self.version = 0
        self.updates_not_finite = 0
        self.classes = list(classes)
        self.categories = categories  # category fields
        self.field_rows = field_rows  # per number field: column, ramp row or -1, missing indicator or -1
        self.ramped = sum(row[1] >= 0 for row in field_rows)  # fields that have ramps
        outputs = 1 if spec.task == "regression" else len(self.classes)
        self.layout = Layout(spec.hidden_layers, spec.width, columns, outputs)
        self.weights = self.layout.allocate()
        self.views = self.layout.views(self.weights)
        self.memory_layout = self._memory_layout()
        self.memory = self.memory_layout.allocate()
        self.moments = np.zeros(HEAD_NUMBERS + len(field_rows) * FIELD_NUMBERS + self.ramped * RAMP_NUMBERS)
        self.table: Floats = np.zeros((0, padded(spec.width)), np.float32)
        self.table0: Floats = np.zeros((0, padded(outputs)), np.float32)
        self.touched: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._replan()

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Version 0: initial weights, nothing known of the stream."""
        state = cls(spec, [], 0, spec.classes, 0)
        state.moments[DECAYED] = 1.0
        state._initialise()
        return state

    # ------------------------------------------------------------------ categories

    @property
    def table_key(self) -> np.uint64:
        """Hash key of the category rows' initial weights."""
        return key_of(self.spec.seed, TABLE)

    @property
    def table_limit(self) -> np.float32:
        """Range of the category rows' initial weights."""
        inputs = CATEGORY_INPUTS
        if self.spec.fields is not None:
            inputs = sum(kind == "category" for kind in self.spec.fields.values()) + len(self.spec.crosses)
        return glorot(max(inputs, 1), self.spec.width)

    def open_table(self) -> None:
        """Make room for category rows; memory is used by touched rows only."""
        if not self.touched.size:
            rows = 2**self.spec.hash_bits
            self.table = np.zeros(
                (rows if self.layout.hidden_layers else 1, padded(self.spec.width)), np.float32
            )
            self.table0 = np.zeros((rows, padded(self.layout.classes)), np.float32)
            self.touched = np.zeros(rows, np.uint8)

    def learned_rows(self) -> npt.NDArray[np.int64]:
        """Category rows that differ from their initial weights, ascending."""
        return np.flatnonzero(self.touched == LEARNED)

    def restore_rows(self, rows: npt.NDArray[np.int64], table: Floats, table0: Floats) -> None:
        """Take over stored category rows."""
        self.open_table()
        self.table[rows[: len(table)]] = table
        self.table0[rows] = table0
        self.touched[rows] = LEARNED

    # ------------------------------------------------------------------ growth

    def grow_fields(self, count: int) -> None:
        """Columns for `count` more number fields."""
        ramps = self.spec.ramps
        if ramps * (len(self.field_rows) + count) > RAMP_INPUTS_MAX:
            ramps = 0
        columns, ramped = self.layout.columns, self.ramped
        for _ in range(count):
            self.field_rows.append([columns, ramped if ramps else -1, -1])
            columns += 1 + ramps
            ramped += 1 if ramps else 0
        self._grow_moments(len(self.field_rows), ramped)
        self._grow_memory()
        self._resize(columns, self.layout.classes)
        self._replan()

    def grow_missing(self, fields: list[int]) -> None:
        """Indicator columns for these number fields, which begin at zero weight: a prediction made before
        this is the same as one made after."""
        columns = self.layout.columns
        for field in fields:
            self.field_rows[field][2] = columns
            columns += 1
        first = self.layout.columns
        self._resize(columns, self.layout.classes)
        self.views["input_kernel"][first:] = 0.0
        self._replan()

    def grow_classes(self, names: list[str]) -> None:
        """Outputs for these classes."""
        first = self.layout.classes
        self.classes += names
        self._resize(self.layout.columns, len(self.classes))
        self._grow_memory()
        self._initialise_heads(first)
        if self.touched.size and self.table0.shape[1] != padded(len(self.classes)):
            wider = np.zeros((len(self.table0), padded(len(self.classes))), np.float32)
            wider[:, : self.table0.shape[1]] = self.table0
            self.table0 = wider
        self._replan()

    def grow_categories(self, count: int) -> None:
        """Make room for `count` category fields in what the experts remember."""
        self.categories = count
        self._grow_memory()
        self._replan()

    def _grow_memory(self) -> None:
        """Larger arrays of the experts with the same contents. What the remembered events lack counts as a
        z-score of 0, or as a category of no value."""
        old = self.memory_layout
        self.memory_layout = self._memory_layout()
        if self.memory_layout == old:
            return
        views = old.views(self.memory)
        kinds = views["ring"][old.numbers :]
        self.memory = self.memory_layout.enlarged({**views, "ring": views["ring"][: old.numbers]})
        views, numbers = self.memory_layout.views(self.memory), self.memory_layout.numbers
        views["ring"][numbers : numbers + old.kinds] = kinds
        views["ring"][numbers + old.kinds :] = NO_KIND
        views["distance_weight"][old.numbers :] = 1.0

    def _memory_layout(self) -> Memory:
        spec = self.spec
        return Memory(
            spec.window,
            min(len(self.field_rows), POINT_NUMBERS_MAX),
            min(self.categories, KINDS_MAX),
            spec.task == "regression",
            len(self.classes),
            spec.hidden_layers + 1 + (BESIDE_DEPTHS if spec.window else 0),
        )

    def _grow_moments(self, fields: int, ramped: int) -> None:
        old_ramps = self.moments[HEAD_NUMBERS + (self.plan.fields) * FIELD_NUMBERS :]
        grown = np.zeros(HEAD_NUMBERS + fields * FIELD_NUMBERS + ramped * RAMP_NUMBERS)
        kept = HEAD_NUMBERS + self.plan.fields * FIELD_NUMBERS
        grown[:kept] = self.moments[:kept]
        at = HEAD_NUMBERS + fields * FIELD_NUMBERS
        grown[at : at + old_ramps.size] = old_ramps
        self.moments, self.ramped = grown, ramped

    def _resize(self, columns: int, classes: int) -> None:
        """A larger buffer with the same contents; new columns get initial weights."""
        old_layout, old_views = self.layout, self.views
        self.layout = Layout(self.spec.hidden_layers, self.spec.width, columns, classes)
        self.weights = self.layout.enlarged(old_views)
        self.views = self.layout.views(self.weights)
        self._initialise_inputs(old_layout.columns)

    def _initialise(self) -> None:
        spec, views = self.spec, self.views
        heads = spec.hidden_layers + 1
        views["alpha"][:heads] = np.float32(1.0 / heads)
        experts = self.memory_layout.views(self.memory)["expert_weight"][: self.memory_layout.experts]
        experts[:] = np.float32(1.0 / self.memory_layout.experts)
        limit = glorot(spec.width, spec.width)
        for layer in range(spec.hidden_layers - 1):
            fill_matrix(views["hidden_kernel"][layer], spec.width, key_of(spec.seed, HIDDEN, layer), limit)
        self._initialise_heads(0)

    def _initialise_inputs(self, first: int) -> None:
        if self.spec.hidden_layers:
            limit = glorot(max(self.layout.columns, 1), self.spec.width)
            key = key_of(self.spec.seed, INPUT)
            fill_matrix(self.views["input_kernel"], self.spec.width, key, limit, first)

    def _initialise_heads(self, first: int) -> None:
        limit = glorot(self.spec.width, max(self.layout.classes, 1))
        for layer in range(self.spec.hidden_layers):
            key = key_of(self.spec.seed, HEAD, layer)
            fill_matrix(self.views["head_kernel"][layer], self.spec.width, key, limit, first)

    # ------------------------------------------------------------------ the kernel's view

    def _replan(self) -> None:
        """Plan and working memory for the sizes as they are."""
        categories_max = 2 * FIELDS_MAX + CROSSES_MAX
        self.plan = Plan.of(
            self.spec, self.layout, self.memory_layout, len(self.field_rows), self.ramped, categories_max
        )
        self.plan_array = self.plan.array()
        self.fields = np.full((max(len(self.field_rows), 1), 4), -1, np.int64)
        for field, row in enumerate(self.field_rows):
            self.fields[field] = [*row, field]
        self.work = np.zeros(self.plan.work_size + 16, np.float32)
        if self.spec.ramps:
            knots = RAMPS_FROM + np.arange(self.spec.ramps) * (RAMPS_TO - RAMPS_FROM) / self.spec.ramps
            self.work[self.plan.knots : self.plan.knots + self.spec.ramps] = knots
        self.lists = np.zeros(self.plan.list_size, np.int64)
        self.fresh = self.moments.copy()
        exponent = -math.log(self.spec.beta)
        spec = self.spec
        self.settings = np.array([spec.learning_rate, spec.decay, exponent, spec.s, float(spec.fast_start)])
