"""Everything that a fold has learned, as arrays, and how it grows: new columns, new classes."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import (
    BESIDE_DEPTHS,
    DECAYED,
    FAST,
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
    ROW_LIMIT,
    SLOW,
    TABLE,
    glorot,
    key_of,
)
from hedge_model.kernel.initial import fill_matrix
from hedge_model.kernel.plan import Plan, RowSizes
from hedge_model.layout import LANES, MIXTURES, Floats, Layout, Memory, aligned, padded
from hedge_model.spec import CROSSES_MAX, FIELDS_MAX, ModelSpec

RAMP_INPUTS_MAX = 1_200  # no ramps where they would be more than this: many fields need them least
FIELD_INTS = 4  # of a number field, for the kernel
NO_ROWS: npt.NDArray[np.int64] = np.zeros(0, np.int64)
LEARNED = 2  # in `touched`: the row differs from its initial weights
CATEGORY_INPUTS = 16  # categories of an event, as far as initial weights go, where fields are not declared

# Learners of one model, such as those of its snapshots, share what never changes.
_layout, _memory = lru_cache(maxsize=64)(Layout), lru_cache(maxsize=64)(Memory)


@lru_cache(maxsize=64)
def _knots(ramps: int) -> npt.NDArray[np.float64]:
    """Where the ramps of a number begin, in standard deviations."""
    return RAMPS_FROM + np.arange(ramps) * (RAMPS_TO - RAMPS_FROM) / max(ramps, 1)


@lru_cache(maxsize=64)
def _settings(spec: ModelSpec) -> npt.NDArray[np.float64]:
    """What the kernel reads of a spec."""
    exponent = -math.log(spec.beta)
    return np.array([spec.learning_rate, spec.decay, exponent, spec.s, float(spec.fast_start)])


@lru_cache(maxsize=64)
def _plan(
    spec: ModelSpec,
    layout: Layout,
    memory: Memory,
    fields: int,
    ramped: int,
    rows: RowSizes,
    categorical: bool,
) -> tuple[Plan, npt.NDArray[np.int64]]:
    plan = Plan.of(spec, layout, memory, fields, ramped, rows, categorical)
    return plan, plan.array()


class State:
    """The arrays of one learner, and the working memory of the kernel."""

    def __init__(
        self,
        spec: ModelSpec,
        fields: npt.NDArray[np.int64],
        columns: int,
        classes: Sequence[str],
        categories: int,
        zeroed: bool = True,
    ) -> None:
        """Arrays of this shape, to be filled; `of` makes the state of version 0. What is not zeroed holds
        anything."""
        self.spec = spec
        self.version = 0
        self.updates_not_finite = 0
        self.classes = list(classes)
        self.categories = categories  # category fields
        # Per number field: column, ramp row or -1, missing indicator or -1, slot of the event.
        self.fields = fields
        self.ramped = np.count_nonzero(fields[:, 1] >= 0)  # fields that have ramps
        outputs = 1 if spec.task == "regression" else len(self.classes)
        self.layout = _layout(spec.hidden_layers, spec.width, columns, outputs)
        self.weights = self.layout.allocate(zeroed)
        self.memory_layout = self._memory_layout()
        self.memory = self.memory_layout.allocate(zeroed)
        self.moments = np.zeros(HEAD_NUMBERS + len(fields) * FIELD_NUMBERS + self.ramped * RAMP_NUMBERS)
        sizes = self.row_sizes
        self.table: Floats = np.zeros((0, sizes.stride), np.float32)
        self.table0: Floats = np.zeros((0, sizes.stride0), np.float32)
        self.touched: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._replan()

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Version 0: initial weights, nothing known of the stream."""
        state = cls(spec, np.zeros((0, FIELD_INTS), np.int64), 0, spec.classes, 0)
        state.moments[DECAYED] = 1.0
        state._initialise()
        return state

    @property
    def views(self) -> dict[str, Floats]:
        """Name -> array over the weights' own memory."""
        return self.layout.views(self.weights)

    # ------------------------------------------------------------------ categories

    @property
    def table_key(self) -> np.uint64:
        """Hash key of the category rows' initial weights."""
        return key_of(self.spec.seed, TABLE)

    @property
    def table_limit(self) -> np.float32:
        """Range of the category rows' initial weights."""
        if self.spec.preset == "default":
            return np.float32(ROW_LIMIT)
        inputs = CATEGORY_INPUTS
        if self.spec.fields is not None:
            inputs = sum(kind == "category" for kind in self.spec.fields.values()) + len(self.spec.crosses)
        return glorot(max(inputs, 1), self.spec.width)

    @property
    def row_sizes(self) -> RowSizes:
        """A row of the first layer has its sum of squared gradients in a vector behind its weights; one of
        depth 0 those of the linear expert, and their sums of squares, behind its own."""
        apart, sections = self.spec.preset == "default", 3 if self.spec.window else 1
        stride = padded(self.spec.width) + (LANES if apart else 0)
        return RowSizes(stride, sections * padded(self.layout.classes), 2 * FIELDS_MAX + CROSSES_MAX)

    @property
    def categorical(self) -> bool:
        """Whether events have as many categories (combinations count) as numbers, or more."""
        rows = self.categories + len(self.spec.crosses) if self.categories else 0
        return self.spec.preset == "default" and rows >= max(len(self.fields), 1)

    def open_table(self) -> None:
        """Make room for category rows; memory is used by touched rows only."""
        if not self.touched.size:
            rows, sizes = 2**self.spec.hash_bits, self.row_sizes
            self.table = np.zeros((rows if self.layout.hidden_layers else 1, sizes.stride), np.float32)
            self.table0 = np.zeros((rows, sizes.stride0), np.float32)
            self.touched = np.zeros(rows, np.uint8)

    def learned_rows(self) -> npt.NDArray[np.int64]:
        """Category rows that differ from their initial weights, ascending."""
        return np.flatnonzero(self.touched == LEARNED) if self.touched.size else NO_ROWS

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
        if ramps * (len(self.fields) + count) > RAMP_INPUTS_MAX:
            ramps = 0
        columns, ramped, rows = self.layout.columns, self.ramped, []
        for slot in range(len(self.fields), len(self.fields) + count):
            rows.append((columns, ramped if ramps else -1, -1, slot))
            columns += 1 + ramps
            ramped += 1 if ramps else 0
        self.fields = np.concatenate([self.fields, np.array(rows, np.int64)])
        self._grow_moments(len(self.fields), ramped)
        self._grow_memory()
        self._resize(columns, self.layout.classes)
        self._replan()

    def grow_missing(self, fields: list[int]) -> None:
        """Indicator columns for these number fields, which begin at zero weight: a prediction made before
        this is the same as one made after."""
        columns = self.layout.columns
        for field in fields:
            self.fields[field, 2] = columns
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
        if self.touched.size and self.table0.shape[1] != self.row_sizes.stride0:
            sections = 3 if self.spec.window else 1
            old = self.table0.reshape(len(self.table0), sections, -1)
            wider = np.zeros((len(old), sections, padded(len(self.classes))), np.float32)
            wider[:, :, : old.shape[2]] = old
            self.table0 = wider.reshape(len(old), -1)
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
        self.memory = self.memory_layout.enlarged(old.views(self.memory))
        views = self.memory_layout.views(self.memory)
        views["ring_kind"][:, old.kinds :] = NO_KIND
        views["distance_weight"][old.numbers :] = 1.0

    def _memory_layout(self) -> Memory:
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
        self.layout = _layout(self.spec.hidden_layers, self.spec.width, columns, classes)
        self.weights = self.layout.enlarged(old_views)
        self._initialise_inputs(old_layout.columns)

    def _initialise(self) -> None:
        spec, views = self.spec, self.views
        heads = spec.hidden_layers + 1
        views["alpha"][:heads] = np.float32(1.0 / heads)
        self._initialise_experts()
        limit = glorot(spec.width, spec.width)
        for layer in range(spec.hidden_layers - 1):
            fill_matrix(views["hidden_kernel"][layer], spec.width, key_of(spec.seed, HIDDEN, layer), limit)
        self._initialise_heads(0)

    def _initialise_experts(self) -> None:
        """Equal weights in the fast mixture; of the linear expert and the depths alone in the slow one."""
        if not self.spec.window:
            return
        layout, heads = self.memory_layout, self.spec.hidden_layers + 1
        views = layout.views(self.memory)
        weights = views["expert_weight"][:, : layout.experts]
        weights[FAST] = np.float32(1.0 / layout.experts)
        weights[SLOW, [*range(heads), -1]] = np.float32(1.0 / (heads + 1))
        views["trust"][:MIXTURES] = np.float32(1.0 / MIXTURES)
        views["trust"][MIXTURES] = 1.0

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
        fields, ramped = len(self.fields), self.ramped
        self.plan, self.plan_array = _plan(
            self.spec, self.layout, self.memory_layout, fields, ramped, self.row_sizes, self.categorical
        )
        self.work = aligned(self.plan.work_size + LANES)
        knots = _knots(self.spec.ramps)
        self.work[self.plan.knots : self.plan.knots + len(knots)] = knots
        self.lists = np.zeros(self.plan.list_size, np.int64)
        self.fresh = self.moments.copy()
        self.settings = _settings(self.spec)
