"""Everything that a fold has learned, as arrays, and how it grows: new columns, new classes."""

from typing import Self

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import (
    DECAYED,
    FAST,
    FIELD_NUMBERS,
    HEAD,
    HEAD_NUMBERS,
    HIDDEN,
    INPUT,
    NO_KIND,
    SLOW,
    glorot,
    key_of,
)
from hedge_model.kernel.initial import fill_matrix
from hedge_model.layout import LANES, MIXTURES, Floats, aligned, padded
from hedge_model.shape import Shape
from hedge_model.spec import ModelSpec

NO_ROWS: npt.NDArray[np.int64] = np.zeros(0, np.int64)
LEARNED = 2  # in `touched`: the row differs from its initial weights


class State:
    """The arrays of one learner, and the working memory of the kernel."""

    def __init__(self, shape: Shape, zeroed: bool = True) -> None:
        """Arrays of this shape, to be filled; `of` makes the state of version 0. What is not zeroed holds
        anything."""
        self.shape = shape
        self.version = 0
        self.updates_not_finite = 0
        self.weights = shape.layout.allocate(zeroed)
        self.memory = shape.memory.allocate(zeroed)
        self.moments = np.zeros(shape.plan.moments_size)
        self.table: Floats = np.zeros((0, shape.rows.stride), np.float32)
        self.table0: Floats = np.zeros((0, shape.rows.stride0), np.float32)
        self.touched: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._make_room()

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Version 0: initial weights, nothing known of the stream."""
        state = cls(Shape.of(spec))
        state.moments[DECAYED] = 1.0
        state._initialise()
        return state

    @property
    def views(self) -> dict[str, Floats]:
        """Name -> array over the weights' own memory."""
        return self.shape.layout.views(self.weights)

    # ------------------------------------------------------------------ categories

    def open_table(self) -> None:
        """Make room for category rows; memory is used by touched rows only."""
        if not self.touched.size:
            spec, sizes = self.shape.spec, self.shape.rows
            rows = 2**spec.hash_bits
            self.table = np.zeros((rows if spec.hidden_layers else 1, sizes.stride), np.float32)
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
        self._become(self.shape.with_fields(count))

    def grow_missing(self, fields: list[int]) -> None:
        """Indicator columns for these number fields, which begin at zero weight: a prediction made before
        this is the same as one made after."""
        first = self.shape.columns
        self._become(self.shape.with_missing(fields))
        self.views["input_kernel"][first:] = 0.0

    def grow_classes(self, names: list[str]) -> None:
        """Outputs for these classes."""
        first = self.shape.layout.classes
        self._become(self.shape.with_classes(names))
        self._initialise_heads(first)
        stride0 = self.shape.rows.stride0
        if self.touched.size and self.table0.shape[1] != stride0:
            sections = stride0 // padded(self.shape.layout.classes)
            old = self.table0.reshape(len(self.table0), sections, -1)
            wider = np.zeros((len(old), sections, stride0 // sections), np.float32)
            wider[:, :, : old.shape[2]] = old
            self.table0 = wider.reshape(len(old), -1)

    def grow_categories(self, count: int) -> None:
        """Make room for `count` category fields in what the experts remember."""
        self._become(self.shape.with_categories(count))

    def _become(self, shape: Shape) -> None:
        """Arrays of a larger shape with the same contents; new columns get initial weights."""
        old, self.shape = self.shape, shape
        if shape.layout != old.layout:
            self.weights = shape.layout.enlarged(old.layout.views(self.weights))
            self._initialise_inputs(old.columns)
        if shape.memory != old.memory:
            self._enlarge_memory(old)
        if len(shape.fields) != len(old.fields):
            self._enlarge_moments(old)
        self._make_room()

    def _enlarge_memory(self, old: Shape) -> None:
        """What the remembered events lack counts as a z-score of 0, or as a category of no value."""
        self.memory = self.shape.memory.enlarged(old.memory.views(self.memory))
        views = self.shape.memory.views(self.memory)
        views["ring_kind"][:, old.memory.kinds :] = NO_KIND
        views["distance_weight"][old.memory.numbers :] = 1.0

    def _enlarge_moments(self, old: Shape) -> None:
        kept, at = (HEAD_NUMBERS + len(shape.fields) * FIELD_NUMBERS for shape in (old, self.shape))
        grown = np.zeros(self.shape.plan.moments_size)
        grown[:kept] = self.moments[:kept]
        grown[at : at + self.moments.size - kept] = self.moments[kept:]
        self.moments = grown

    def _initialise(self) -> None:
        spec, views = self.shape.spec, self.views
        heads = spec.hidden_layers + 1
        views["alpha"][:heads] = np.float32(1.0 / heads)
        self._initialise_experts()
        limit = glorot(spec.width, spec.width)
        for layer in range(spec.hidden_layers - 1):
            fill_matrix(views["hidden_kernel"][layer], spec.width, key_of(spec.seed, HIDDEN, layer), limit)
        self._initialise_heads(0)

    def _initialise_experts(self) -> None:
        """Equal weights in the fast mixture; of the linear expert and the depths alone in the slow one."""
        spec, layout = self.shape.spec, self.shape.memory
        if not spec.window:
            return
        heads = spec.hidden_layers + 1
        views = layout.views(self.memory)
        weights = views["expert_weight"][:, : layout.experts]
        weights[FAST] = np.float32(1.0 / layout.experts)
        weights[SLOW, [*range(heads), -1]] = np.float32(1.0 / (heads + 1))
        views["trust"][:MIXTURES] = np.float32(1.0 / MIXTURES)
        views["trust"][MIXTURES] = 1.0

    def _initialise_inputs(self, first: int) -> None:
        spec = self.shape.spec
        if spec.hidden_layers:
            limit = glorot(max(self.shape.columns, 1), spec.width)
            fill_matrix(self.views["input_kernel"], spec.width, key_of(spec.seed, INPUT), limit, first)

    def _initialise_heads(self, first: int) -> None:
        spec = self.shape.spec
        limit = glorot(spec.width, max(self.shape.layout.classes, 1))
        for layer in range(spec.hidden_layers):
            key = key_of(spec.seed, HEAD, layer)
            fill_matrix(self.views["head_kernel"][layer], spec.width, key, limit, first)

    def _make_room(self) -> None:
        """Working memory of the kernel for the sizes as they are."""
        plan, knots = self.shape.plan, self.shape.knots
        self.work = aligned(plan.work_size + LANES)
        self.work[plan.knots : plan.knots + len(knots)] = knots
        self.lists = np.zeros(plan.list_size, np.int64)
        self.fresh = self.moments.copy()
