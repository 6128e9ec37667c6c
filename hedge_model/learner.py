"""The learner: Hedge Backpropagation over a stream, one event at a time, the same bits everywhere.

>>> learner = HedgeLearner(ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=2, width=32))
>>> for i in range(200):
...     x = {"age": i % 100, "city": "Rome" if i % 3 else "Oslo"}
...     learner.learn_one(x, "yes" if i % 100 > 50 else "no")
>>> learner.predict_proba_one({"age": 90, "city": "Rome"})["yes"] > 0.9
True
>>> learner.version
200
>>> HedgeLearner.from_bytes(learner.to_bytes()).digest() == learner.digest()
True
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from hedge_model.encoder import Encoder
from hedge_model.kernel import (
    BOTH,
    DONE,
    LEARN,
    NEEDS_CLASS,
    NEEDS_COLUMN,
    NOT_FINITE,
    PREDICT,
    REVISION,
    fold,
)
from hedge_model.layout import Floats, fill, unpadded
from hedge_model.packing import digest, pack, unpack
from hedge_model.spec import Label, ModelSpec, Value
from hedge_model.state import State
from hedge_model.stream import Rows, check_rows, first_rows

Features: TypeAlias = Mapping[str, Value]
Prediction: TypeAlias = dict[str, float] | float
BATCH = 1_024  # rows handed to compiled code at once


class HedgeLearner:
    """A deterministic fold over events. Not safe for use by two threads at once."""

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec or ModelSpec()
        self._state = State(self.spec)
        self._encoder = Encoder(self.spec)
        if self.spec.fields is not None:
            kinds = self.spec.fields
            self._know(
                [n for n in kinds if kinds[n] == "number"], [n for n in kinds if kinds[n] == "category"]
            )
        self._bind()

    # ------------------------------------------------------------------ what it is

    @property
    def version(self) -> int:
        """Number of entries learned or passed."""
        return self._state.version

    @property
    def fold_id(self) -> str:
        """Identity of the arithmetic: spec and kernel revision."""
        return f"{self.spec.spec_hash[:16]}-k{REVISION}"

    @property
    def schema(self) -> ModelSpec:
        """What can be learned and predicted."""
        return self.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in output order, as far as they are known."""
        return tuple(self._state.classes)

    @property
    def updates_not_finite(self) -> int:
        """How many events were passed over because their update was not finite."""
        return self._state.updates_not_finite

    def __repr__(self) -> str:
        spec, state = self.spec, self._state
        outputs = "a number" if spec.task == "regression" else f"{len(state.classes)} classes"
        return (
            f"HedgeLearner({spec.task}, version {state.version}: {len(self._encoder.slots)} numbers and "
            f"{len(self._encoder.categories)} categories to {outputs}, "
            f"{spec.hidden_layers} hidden layers of {spec.width}, preset {spec.preset})"
        )

    # ------------------------------------------------------------------ one event

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Class -> probability; empty before the first label if classes are learned from the stream."""
        if self.spec.task == "regression":
            raise ValueError("a regression has no classes: call predict_one for the number")
        self._predict(x)
        return self._prediction_by_class()

    def predict_one(self, x: Features) -> Prediction:
        """Class -> probability for classifiers, the expected number for regression. Changes nothing."""
        self._predict(x)
        return self._prediction()

    def predict_depths_one(self, x: Features) -> npt.NDArray[np.float32]:
        """What each depth says by itself, [L + 1, C]: probabilities, or a regression's standardised means."""
        self._predict(x)
        plan, state = self._state.plan, self._state
        out = state.work[plan.output : plan.output + plan.heads * plan.outputs]
        return out.reshape(plan.heads, plan.outputs)[:, : plan.classes].copy()

    def inputs_one(self, x: Features) -> npt.NDArray[np.float32]:
        """The dense inputs of the network for `x`, [D]; category rows are not part of it."""
        self._predict(x)
        state = self._state
        return state.work[state.plan.x : state.plan.x + state.plan.columns].copy()

    def rows_one(self, x: Features) -> list[int]:
        """The category rows that are active for `x`."""
        self._encoder.read(x)
        return list(self._encoder.rows)

    def learn_one(self, x: Features, y: Label, weight: float = 1.0) -> None:
        """Learn one event: version + 1. Raises `ValueError` and learns nothing for what the spec forbids."""
        self._learn(x, y, weight, LEARN)

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        """The prediction before learning, then learn: the bits of `predict_one` and `learn_one`."""
        return self._learn(x, y, weight, BOTH)

    def skip_one(self) -> None:
        """Pass an entry that teaches nothing: version + 1."""
        self._state.version += 1

    # ------------------------------------------------------------------ many events

    def learn_many(
        self,
        X: npt.ArrayLike,
        y: Sequence[Label] | npt.NDArray[Any],
        names: Sequence[str] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        """Learn the rows of X [n, d] one after the other. Columns are fields "0", "1", … or `names`; NaN is
        missing. The digest is that of `learn_one` row by row."""
        self._fold_many(LEARN, X, y, names, weights)

    def prequential_many(
        self,
        X: npt.ArrayLike,
        y: Sequence[Label] | npt.NDArray[Any],
        names: Sequence[str] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.float32]:
        """Predict each row of X [n, d], then learn it; [n, C], zero where a class was not known yet."""
        return self._fold_many(BOTH, X, y, names, weights)

    def predict_proba_many(
        self, X: npt.ArrayLike, names: Sequence[str] | None = None
    ) -> npt.NDArray[np.float32]:
        """Predictions for the rows of X [n, d], [n, C] (regression: [n, 1]). Changes nothing."""
        return self._fold_many(PREDICT, X, None, names, None)

    # ------------------------------------------------------------------ state

    def depth_weights(self) -> list[float]:
        """Weight of each depth in the prediction, depth 0 first."""
        weights: list[float] = self._state.views["alpha"][: self._state.plan.heads].tolist()
        return weights

    def weights(self) -> dict[str, Floats]:
        """The dense weights under their names in the network (see `hedge_model.layout.unpadded`)."""
        return unpadded(self._state.layout, self._state.views)

    def set_weights(self, weights: dict[str, Floats]) -> None:
        """Take over dense weights; the names and shapes are those of `weights`."""
        fill(self._state.layout, self._state.views, weights)

    def to_bytes(self) -> bytes:
        """The whole state; `from_bytes` goes on from it bit for bit."""
        return pack(self._state, REVISION, list(self._encoder.categories), list(self._encoder.slots))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A learner of these bytes. Raises `ValueError` for damaged ones."""
        state, header = unpack(data, REVISION)
        learner = cls.__new__(cls)
        learner.spec, learner._state = state.spec, state
        learner._encoder = Encoder(state.spec)
        learner._encoder.restore(header["numbers"], header["categories"])
        learner._bind()
        return learner

    def digest(self) -> str:
        """Hex digest of the state; the same for the same bits."""
        return digest(self.to_bytes())

    # ------------------------------------------------------------------ inside

    def _predict(self, x: Features) -> None:
        self._encoder.read(x)
        if self._state.layout.classes:
            self._fold_one(PREDICT, x)

    def _prediction(self) -> Prediction:
        if self.spec.task == "regression":
            return float(self._out[0, 0])
        return self._prediction_by_class()

    def _prediction_by_class(self) -> dict[str, float]:
        return dict(zip(self._state.classes, self._out[0].tolist(), strict=True))

    def _learn(self, x: Features, y: Label, weight: float, task: int) -> Prediction:
        if not 0.0 < weight < np.inf:
            raise ValueError(f"expected a finite weight above 0, received {weight}")
        encoder, state = self._encoder, self._state
        label = self._label(y)
        unknown = encoder.read(x)
        predicted: Prediction | None = None
        if label >= state.layout.classes:
            self._check_room(label)
            if task & PREDICT:
                self._predict(x)
                predicted = self._prediction()
            task = LEARN
            state.grow_classes([self.spec.class_name(y)])
            self._bind()
        if unknown:
            self._know(*encoder.new_fields(x))
            self._bind()
            encoder.read(x)
        self._labels[0] = label
        self._event_weights[0] = weight
        while self._fold_one(task, x) == NEEDS_COLUMN:
            self._grow_missing(self._events[0])
            self._bind()
            encoder.read(x)
        state.version += 1
        return self._prediction() if predicted is None and task & PREDICT else (predicted or {})

    def _label(self, y: Label) -> float:
        """Class index (that of a new class is one beyond the last), or the target."""
        if self.spec.task == "regression":
            return self.spec.target(y)
        index = self._class_index.get(y) if type(y) is str else None
        if index is None:
            index = self._class_index.get(self.spec.class_name(y), len(self._state.classes))
        return index

    def _check_room(self, label: float) -> None:
        if label >= self.spec.classes_max:
            known = ", ".join(self._state.classes[:4])
            raise ValueError(
                f"expected at most {self.spec.classes_max} classes for task '{self.spec.task}' "
                f"(known: {known}), received another"
            )

    def _fold_one(self, task: int, x: Features) -> int:
        state = self._state
        active = self._list_rows()
        _, reason, not_finite = fold(
            task,
            *self._arrays,
            active,
            self._fields,
            self._events,
            self._encoder.present,
            self._labels,
            self._event_weights,
            self._out,
        )
        if reason == NOT_FINITE:
            self._encoder.refuse(x)
        state.updates_not_finite += not_finite
        return int(reason)

    def _fold_many(
        self,
        task: int,
        X: npt.ArrayLike,
        y: Sequence[Label] | npt.NDArray[Any] | None,
        names: Sequence[str] | None,
        weights: npt.ArrayLike | None,
    ) -> npt.NDArray[np.float32]:
        rows = check_rows(self.spec, self._state.classes, X, y, names, weights)
        outputs = self._state.layout.classes + len(rows.new_classes)
        out = np.zeros((len(rows) if task & PREDICT else 0, outputs), np.float32)
        starts = first_rows(rows, self._encoder.slots.__contains__) if task & LEARN else {}
        classes = list(rows.new_classes)
        at = 0
        while at < len(rows):
            self._know([name for name, row in starts.items() if row == at], ())
            end = min([at + BATCH, len(rows), *(row for row in starts.values() if row > at)])
            at, reason = self._fold_rows(task, rows, at, end, out)
            if reason == NEEDS_COLUMN:
                self._grow_missing(self._events_of(rows, at, at + 1)[0])
            elif reason == NEEDS_CLASS:  # predicted with the classes known before, learned with the new one
                if task & PREDICT:
                    self._fold_rows(PREDICT, rows, at, at + 1, out)
                self._state.grow_classes([classes.pop(0)])
                after, reason = self._fold_rows(LEARN, rows, at, at + 1, out)
                while reason == NEEDS_COLUMN:
                    self._grow_missing(self._events_of(rows, at, at + 1)[0])
                    after, reason = self._fold_rows(LEARN, rows, at, at + 1, out)
                at = after
        self._bind()
        return out

    def _fold_rows(self, task: int, rows: Rows, at: int, end: int, out: Floats) -> tuple[int, int]:
        """Fold rows at … end; returns the row to go on with, and why it stopped there."""
        state = self._state
        if not state.layout.classes and not task & LEARN:
            return end, DONE
        self._encoder.read({})
        active = self._list_rows()
        self._bind()
        column = {name: j for j, name in enumerate(rows.names)}
        fields = state.fields.copy()
        for slot, name in enumerate(self._encoder.slots):
            fields[slot, 3] = column.get(name, -1)
        predicted = np.zeros((end - at, state.layout.classes))
        taken, reason, not_finite = fold(
            task,
            *self._arrays,
            active,
            fields.reshape(-1),
            rows.numbers[at:end].astype(np.float64),
            -1,
            rows.labels[at:end],
            rows.weights[at:end],
            predicted,
        )
        state.updates_not_finite += not_finite
        if task & LEARN:
            state.version += taken
        if task & PREDICT:
            out[at : at + taken, : state.layout.classes] = predicted[:taken]
        return at + taken, reason

    def _events_of(self, rows: Rows, at: int, end: int) -> npt.NDArray[np.float64]:
        """The number fields of some rows, in the order of slots; NaN where there is none."""
        column = {name: j for j, name in enumerate(rows.names)}
        events = np.full((end - at, max(len(self._encoder.slots), 1)), np.nan)
        for slot, name in enumerate(self._encoder.slots):
            if name in column:
                events[:, slot] = rows.numbers[at:end, column[name]]
        return events

    def _list_rows(self) -> int:
        """Write the event's category rows where the kernel looks for them; their number."""
        state, rows = self._state, self._encoder.rows
        if rows:
            if not state.touched.size:
                state.open_table()
                self._bind()
            at = state.plan.category_list
            state.lists[at : at + len(rows)] = rows
        return len(rows)

    def _know(self, numbers: Sequence[str], categories: Sequence[str]) -> None:
        before = len(self._encoder.slots)
        self._encoder.know(numbers, categories)
        if len(self._encoder.slots) > before:
            self._state.grow_fields(len(self._encoder.slots) - before)

    def _grow_missing(self, values: npt.NDArray[np.float64]) -> None:
        """Indicators for the fields that are NaN in `values` (in the order of slots) and have none yet."""
        rows = self._state.field_rows
        self._state.grow_missing([f for f, row in enumerate(rows) if row[2] < 0 and np.isnan(values[f])])

    def _bind(self) -> None:
        """Collect the arrays for the kernel anew, after anything has grown."""
        state = self._state
        self._class_index = {name: index for index, name in enumerate(state.classes)}
        self._events = self._encoder.numbers_view()
        self._fields = state.fields.reshape(-1)
        self._labels, self._event_weights = np.zeros(1), np.ones(1)
        self._out = np.zeros((1, state.layout.classes))
        self._arrays = (
            state.plan_array,
            state.rates,
            state.weights,
            state.table.reshape(-1),
            state.table0.reshape(-1),
            state.touched,
            state.table_key,
            state.table_limit,
            state.moments,
            state.fresh,
            state.work,
            state.lists,
        )
