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
>>> import copy
>>> twin = copy.deepcopy(learner)
>>> twin.learn_one({"age": 12, "city": "Rome"}, "no")
>>> twin.version, learner.version
(201, 200)
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from hedge_model.batch import Batch, Labelled
from hedge_model.encoder import Encoder, Features
from hedge_model.fold import Fold
from hedge_model.kernel.fold import BOTH, LEARN, PREDICT, REVISION
from hedge_model.layout import Floats, fill, unpadded
from hedge_model.packing import digest, pack, unpack
from hedge_model.spec import FieldKind, ModelSpec
from hedge_model.stream import check_rows
from hedge_model.values import Label

Prediction: TypeAlias = dict[str, float] | float
Labels: TypeAlias = Sequence[Label] | npt.NDArray[Any]


class HedgeLearner:
    """A deterministic fold over events. Not safe for use by two threads at once."""

    def __init__(self, spec: ModelSpec | None = None) -> None:
        if not isinstance(spec, ModelSpec | None):
            raise ValueError(f"expected a ModelSpec, received {type(spec).__name__}; see ModelSpec.from_dict")
        self.spec = spec or ModelSpec()
        self._bind(Fold.of(self.spec))

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
        return self._state.shape.classes

    @property
    def fields(self) -> dict[str, FieldKind]:
        """Name -> "number" or "category" of the fields known so far; a name seen with both is a number."""
        kinds: dict[str, FieldKind] = dict.fromkeys(self._fold.encoder.categories, "category")
        return {**kinds, **dict.fromkeys(self._fold.encoder.slots, "number")}

    @property
    def updates_not_finite(self) -> int:
        """How many events were passed over because their update was not finite."""
        return self._state.updates_not_finite

    def __repr__(self) -> str:
        spec, state = self.spec, self._state
        outputs = "a number" if spec.task == "regression" else f"{len(state.shape.classes)} classes"
        return (
            f"HedgeLearner({spec.task}, version {state.version}: {len(self._fold.encoder.slots)} numbers and "
            f"{len(self._fold.encoder.categories)} categories to {outputs}, "
            f"{spec.hidden_layers} hidden layers of {spec.width}, preset {spec.preset})"
        )

    # ------------------------------------------------------------------ one event

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Class -> probability; empty before the first label if classes are learned from the stream."""
        if self.spec.task == "regression":
            raise ValueError("a regression has no classes: call predict_one for the number")
        self._fold.predict(x)
        return self._by_class()

    def predict_one(self, x: Features) -> Prediction:
        """Class -> probability for classifiers, the expected number for regression. Changes nothing."""
        self._fold.predict(x)
        return self._prediction()

    def predict_depths_one(self, x: Features) -> npt.NDArray[np.float32]:
        """What each depth says by itself, [L + 1, C]: probabilities, or a regression's standardised means."""
        self._fold.predict(x)
        plan, work = self._state.shape.plan, self._state.work
        out = work[plan.output : plan.output + plan.heads * plan.outputs]
        return out.reshape(plan.heads, plan.outputs)[:, : plan.classes].copy()

    def inputs_one(self, x: Features) -> npt.NDArray[np.float32]:
        """The dense inputs of the network for `x`, [D]; category rows are not part of it."""
        self._fold.predict(x)
        plan, work = self._state.shape.plan, self._state.work
        return work[plan.x : plan.x + plan.columns].copy()

    def rows_one(self, x: Features) -> list[int]:
        """The category rows that are active for `x`."""
        self._fold.encoder.read(x)
        return list(self._fold.encoder.rows)

    def learn_one(self, x: Features, y: Label, weight: float = 1.0) -> None:
        """Learn one event: version + 1. Raises `ValueError` and learns nothing for what the spec forbids."""
        self._learn(x, y, weight, LEARN)

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        """The prediction before learning, then learn: the bits of `predict_one` and `learn_one`."""
        return self._learn(x, y, weight, BOTH)

    def prepare(self, events: Iterable[tuple[Features, Label, float]]) -> Batch:
        """The first events (x, y, weight) made ready to be learned at once: up to one that brings something
        new (a field, a class) or is refused. Another thread may be learning the batch before this one."""
        return self._fold.prepare(self._labelled(events))

    def prequential_batch(self, batch: Batch) -> tuple[Sequence[str], npt.NDArray[np.float64]]:
        """`prequential_one` of the events of a batch, in compiled code: class names (none for a regression)
        and the predictions [n, C] of those learned, which are all unless something new turns up."""
        predictions = self._fold.run(batch)
        return () if self.spec.task == "regression" else self._state.shape.classes, predictions

    def skip_one(self) -> None:
        """Pass an entry that teaches nothing: version + 1."""
        self._state.version += 1

    # ------------------------------------------------------------------ many events

    def learn_many(
        self,
        X: npt.ArrayLike,
        y: Labels,
        names: Sequence[str] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        """Learn the rows of X [n, d] one after the other. Columns are fields "0", "1", … or `names`; NaN is
        missing. The digest is that of `learn_one` row by row."""
        self._many(LEARN, X, y, names, weights)

    def prequential_many(
        self,
        X: npt.ArrayLike,
        y: Labels,
        names: Sequence[str] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.float32]:
        """Predict each row of X [n, d], then learn it; [n, C], zero where a class was not known yet."""
        return self._many(BOTH, X, y, names, weights)

    def predict_proba_many(
        self, X: npt.ArrayLike, names: Sequence[str] | None = None
    ) -> npt.NDArray[np.float32]:
        """Predictions for the rows of X [n, d], [n, C] (regression: [n, 1]). Changes nothing."""
        return self._many(PREDICT, X, None, names, None)

    # ------------------------------------------------------------------ state

    def depth_weights(self) -> list[float]:
        """Hedge weight of each depth, depth 0 first: what it counts in the prediction where `window = 0`."""
        weights: list[float] = self._state.views["alpha"][: self._state.shape.plan.heads].tolist()
        return weights

    def plot(self, ax: Any = None) -> Any:
        """Draw the hedge weights of the depths as bars; the matplotlib axes."""
        from hedge_model.plot import plot_depth_weights

        return plot_depth_weights(self.depth_weights(), ax)

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        # A plain copy would part arrays that are views of each other.
        return type(self).from_bytes, (self.to_bytes(),)

    def weights(self) -> dict[str, Floats]:
        """The dense weights under their names in the network (see `hedge_model.layout.unpadded`)."""
        return unpadded(self._state.shape.layout, self._state.views)

    def set_weights(self, weights: dict[str, Floats]) -> None:
        """Take over dense weights; the names and shapes are those of `weights`."""
        fill(self._state.shape.layout, self._state.views, weights)

    def to_bytes(self) -> bytes:
        """The whole state; `from_bytes` goes on from it bit for bit."""
        return pack(self._state, REVISION, self._fold.encoder.categories, self._fold.encoder.slots)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A learner of these bytes. Raises `ValueError` for damaged ones."""
        state, header = unpack(data, REVISION)
        learner = cls.__new__(cls)
        learner.spec = header.shape.spec
        learner._bind(Fold(state, Encoder(learner.spec, header.slots, header.categories)))
        return learner

    def digest(self) -> str:
        """Hex digest of the state, spec and counters included; the same for the same bits."""
        return digest(self.to_bytes())

    def _bind(self, fold: Fold) -> None:
        self._fold = fold
        self._state = fold.state
        self._index = {name: index for index, name in enumerate(fold.state.shape.classes)}

    def _prediction(self) -> Prediction:
        if self.spec.task == "regression":
            return float(self._fold.out[0, 0])
        return self._by_class()

    def _by_class(self) -> dict[str, float]:
        return dict(zip(self._state.shape.classes, self._fold.out[0].tolist(), strict=True))

    def _learn(self, x: Features, y: Label, weight: float, task: int) -> Prediction:
        if not 0.0 < weight < np.inf:
            raise ValueError(f"expected a finite weight above 0, received {weight}")
        label = self._label(y)
        if label is not None:
            self._fold.learn(x, label, weight, task)
            return self._prediction() if task & PREDICT else {}
        name = self.spec.class_name(y)
        if len(self._state.shape.classes) >= self.spec.classes_max:
            known = ", ".join(self._state.shape.classes[:4])
            raise ValueError(
                f"expected at most {self.spec.classes_max} classes for task '{self.spec.task}' "
                f"(known: {known}), received another: '{name:.80}'"
            )
        self._fold.predict(x)  # with the classes known before; refuses what cannot be learned
        prediction = self._by_class()
        self._fold.meet(x)
        self._index[name] = len(self._state.shape.classes)
        self._fold.grow_class(name)
        self._fold.learn(x, self._index[name], weight, LEARN)
        return prediction

    def _labelled(self, events: Iterable[tuple[Features, Label, float]]) -> list[Labelled]:
        """Events with their labels as numbers, up to the first whose label is new or refused."""
        known, labelled = self._index, list[Labelled]()
        for x, y, weight in events:
            label: float | None = known.get(y) if type(y) is str else None
            if label is None:
                try:
                    label = self._label(y)
                except ValueError:
                    break
            if label is None or not 0.0 < weight < np.inf:
                break
            labelled.append((x, label, weight))
        return labelled

    def _label(self, y: Label) -> float | None:
        """Class index, None for a class that is not known yet; or the target."""
        if self.spec.task == "regression":
            return self.spec.target(y)
        index = self._index.get(y) if type(y) is str else None
        return self._index.get(self.spec.class_name(y)) if index is None else index

    def _many(
        self,
        task: int,
        X: npt.ArrayLike,
        y: Labels | None,
        names: Sequence[str] | None,
        weights: npt.ArrayLike | None,
    ) -> npt.NDArray[np.float32]:
        rows = check_rows(self.spec, self._state.shape.classes, X, y, names, weights)
        predictions = self._fold.rows(task, rows)
        self._bind(self._fold)
        return predictions
