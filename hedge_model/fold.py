"""The compiled fold bound to one state: one event or many, growing where an event needs it."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from hedge_model.batch import Batch, Labelled
from hedge_model.encoder import Encoder, Features
from hedge_model.kernel.batch import fold_events
from hedge_model.kernel.fold import BOTH, DONE, LEARN, NEEDS_CLASS, NEEDS_COLUMN, NOT_FINITE, PREDICT, fold
from hedge_model.layout import Floats
from hedge_model.spec import ModelSpec
from hedge_model.state import State
from hedge_model.stream import Rows, events_of, first_rows

BATCH = 1_024  # rows handed to compiled code at once


class Fold:
    """State, encoder, and the arrays that the kernel works on."""

    def __init__(self, state: State, encoder: Encoder) -> None:
        self.state = state
        self.encoder = encoder
        self._labels, self._weights = np.array([0.0]), np.array([1.0])  # of the event at hand
        self._bind()

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """A fold at version 0; declared fields are known already."""
        fold = cls(State.of(spec), Encoder(spec))
        kinds = spec.fields or {}
        fold.know([n for n in kinds if kinds[n] == "number"], [n for n in kinds if kinds[n] == "category"])
        return fold

    def predict(self, x: Features) -> None:
        """Fill `out`, and the working memory with every depth's output. Changes no state."""
        self.encoder.read(x)
        if self.state.shape.layout.classes:
            self._step(PREDICT, x)

    def learn(self, x: Features, label: float, weight: float, task: int) -> None:
        """Learn one event whose class is known; fill `out` too if the task says PREDICT."""
        encoder = self.encoder
        if encoder.read(x):
            self.meet(x)
            encoder.read(x)
        self._labels[0] = label
        self._weights[0] = weight
        while self._step(task, x) == NEEDS_COLUMN:
            self._grow_missing(self._events[0])
            encoder.read(x)
        self.state.version += 1

    def rows(self, task: int, rows: Rows) -> Floats:
        """Fold rows of events one after the other; their predictions, [n, C], if the task says PREDICT."""
        outputs = self.state.shape.layout.classes + len(rows.new_classes)
        out = np.zeros((len(rows) if task & PREDICT else 0, outputs), np.float32)
        starts = first_rows(rows, self.encoder.slots.__contains__) if task & LEARN else {}
        classes = list(rows.new_classes)
        at = 0
        while at < len(rows):
            self.know([name for name, row in starts.items() if row == at], ())
            end = min([at + BATCH, len(rows), *(row for row in starts.values() if row > at)])
            at, reason = self._rows_between(task, rows, at, end, out)
            if reason == NEEDS_CLASS:  # predicted with the classes known before, learned with the new one
                if task & PREDICT:
                    self._rows_between(PREDICT, rows, at, at + 1, out)
                self.grow_class(classes.pop(0))
                at = self._learn_row(rows, at, out)
            elif reason == NEEDS_COLUMN:
                self._grow_missing(events_of(rows, self.encoder.slots, at))
        return out

    def prepare(self, events: Sequence[Labelled]) -> Batch:
        """The first events made ready for `run`: up to one that the state has to grow for, or that cannot be
        learned. `run` may be under way for the events before these."""
        plain = Batch.plain_of(self.encoder, events)
        return plain or Batch.of(self.encoder, events, has_rows=self.state.touched.size > 0)

    def run(self, batch: Batch) -> npt.NDArray[np.float64]:
        """Predict, then learn the events of a batch one after the other, up to the first that the state has
        to grow for; the predictions of those that were learned, [n, C]."""
        state = self.state
        out = np.zeros((len(batch), state.shape.layout.classes))
        if not len(batch):
            return out
        wanted = (batch.labels, batch.weights, out)
        if batch.plain:
            slots = len(self.encoder.slots)
            taken, _, bad = fold(BOTH, *self._arrays, 0, self._fields, batch.numbers, slots, *wanted)
        else:
            at = state.shape.plan.category_list
            of_events = (batch.rows, batch.counts, self._fields, batch.numbers, batch.present)
            taken, _, bad = fold_events(BOTH, self._arrays, at, *of_events, *wanted)
        state.updates_not_finite += bad
        state.version += taken
        return out[:taken]

    def know(self, numbers: Sequence[str], categories: Sequence[str]) -> None:
        """Make fields known, with columns for the numbers."""
        if not numbers and not categories:
            return
        before = len(self.encoder.slots)
        self.encoder.know(numbers, categories)
        if len(self.encoder.slots) > before:
            self.state.grow_fields(len(self.encoder.slots) - before)
        self.state.grow_categories(len(self.encoder.categories))
        self._bind()

    def meet(self, x: Features) -> None:
        """Make the fields of `x` known where fields are learned from the stream."""
        self.know(*self.encoder.new_fields(x))

    def grow_class(self, name: str) -> None:
        """One more output."""
        self.state.grow_classes([name])
        self._bind()

    def _learn_row(self, rows: Rows, at: int, out: Floats) -> int:
        after, reason = self._rows_between(LEARN, rows, at, at + 1, out)
        if reason == NEEDS_COLUMN:
            self._grow_missing(events_of(rows, self.encoder.slots, at))
            after, _ = self._rows_between(LEARN, rows, at, at + 1, out)
        return after

    def _grow_missing(self, values: npt.NDArray[np.float64]) -> None:
        """Indicators for the fields that are NaN in `values` (in the order of slots) and have none yet."""
        without = self.state.shape.fields[:, 2] < 0
        self.state.grow_missing(np.flatnonzero(without & np.isnan(values)).tolist())
        self._bind()

    def _step(self, task: int, x: Features) -> int:
        """One event, as the encoder holds it, through the kernel; why it stopped, if it did."""
        active = self._list_categories()
        present = self.encoder.present
        _, reason, not_finite = fold(
            task,
            *self._arrays,
            active,
            self._fields,
            self._events,
            present,
            self._labels,
            self._weights,
            self.out,
        )
        if reason == NOT_FINITE:
            self.encoder.refuse(x)
        self.state.updates_not_finite += not_finite
        return int(reason)

    def _rows_between(self, task: int, rows: Rows, at: int, end: int, out: Floats) -> tuple[int, int]:
        """Fold rows at … end; the row to go on with, and why it stopped there."""
        state = self.state
        if not state.shape.layout.classes and not task & LEARN:
            return end, DONE
        self.encoder.read({})
        active = self._list_categories()
        fields = state.shape.fields.copy()
        for slot, name in enumerate(self.encoder.slots):
            fields[slot, 3] = rows.column.get(name, -1)
        events = rows.numbers[at:end].astype(np.float64)
        predicted = np.zeros((end - at, state.shape.layout.classes))
        labels, weights = rows.labels[at:end], rows.weights[at:end]
        taken, reason, not_finite = fold(
            task, *self._arrays, active, fields.reshape(-1), events, -1, labels, weights, predicted
        )
        state.updates_not_finite += not_finite
        if task & LEARN:
            state.version += taken
        if task & PREDICT:
            out[at : at + taken, : state.shape.layout.classes] = predicted[:taken]
        return at + taken, int(reason)

    def _list_categories(self) -> int:
        """Write the event's category rows where the kernel looks for them; their number."""
        state, rows = self.state, self.encoder.rows
        if rows:
            if not state.touched.size:
                state.open_table()
                self._bind()
            at = state.shape.plan.category_list
            state.lists[at : at + len(rows)] = rows
        return len(rows)

    def _bind(self) -> None:
        """Collect the arrays for the kernel anew, after anything has grown."""
        state, shape = self.state, self.state.shape
        self._events = self.encoder.numbers_view()
        self._fields = shape.flat_fields
        self.out = np.zeros((1, shape.layout.classes))  # prediction of the last event, [1, C]
        self._arrays = (
            shape.plan_array,
            shape.settings,
            state.weights,
            state.memory,
            state.table.reshape(-1),
            state.table0.reshape(-1),
            state.touched,
            shape.table_key,
            shape.table_limit,
            state.moments,
            state.fresh,
            state.work,
            state.lists,
        )
