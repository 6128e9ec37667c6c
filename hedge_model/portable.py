"""An exported model that scores with NumPy alone: no compiler, no TensorFlow, ready in half a second.

It predicts what the learner predicted when it was exported (to float32 rounding) and never learns. The file
is an NPZ of plain arrays and one JSON text, so anything can read it.

>>> import io
>>> from hedge_model import HedgeLearner, ModelSpec
>>> learner = HedgeLearner(ModelSpec(classes=("no", "yes"), hidden_layers=2, width=16))
>>> for i in range(100):
...     learner.learn_one({"age": i % 10, "city": "Rome"}, "yes" if i % 10 > 4 else "no")
>>> file = io.BytesIO()
>>> export(learner, file)
>>> model = PortableModel.load(io.BytesIO(file.getvalue()))
>>> x = {"age": 7, "city": "Rome"}
>>> abs(model.predict_proba_one(x)["yes"] - learner.predict_proba_one(x)["yes"]) < 1e-5
True
"""

import json
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from hedge_model.encoder import Encoder, Features
from hedge_model.kernel.definitions import (
    FIELD_NUMBERS,
    GOLDEN_RATIO,
    HEAD_NUMBERS,
    MIX_1,
    MIX_2,
    RAMP_NUMBERS,
    RAMP_VARIANCE_MIN,
    RAMPS_FROM,
    RAMPS_TO,
    RMS_FLOOR,
    SPREAD_MIN,
    VALUE_MAX,
    VARIANCE_MIN,
    Z_MAX,
)
from hedge_model.portable_experts import PortableExperts, exported_experts
from hedge_model.spec import ModelSpec

if TYPE_CHECKING:
    from hedge_model.learner import HedgeLearner

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
File: TypeAlias = str | PathLike[str] | IO[bytes]
FORMAT = 1


def export(learner: "HedgeLearner", file: File) -> None:
    """Write what `PortableModel` needs. It holds no state of the optimiser, so it cannot go on learning."""
    state, encoder = learner._state, learner._fold.encoder
    learned = state.learned_rows()
    about = {
        "format": FORMAT,
        "spec": learner.spec.to_dict(),
        "version": learner.version,
        "classes": list(learner.classes),
        "numbers": list(encoder.slots),
        "categories": list(encoder.categories),
        "field_rows": state.shape.fields[:, :3].tolist(),
        "table_key": int(state.shape.table_key),
        "table_limit": float(state.shape.table_limit),
    }
    arrays: Arrays = dict(learner.weights())
    arrays["moments"] = state.moments
    arrays |= exported_experts(state)
    arrays["table/rows"] = learned
    width = learner.spec.width if learner.spec.hidden_layers else 0
    arrays["table/input"] = (state.table[learned] if width else state.table[:0])[:, :width]
    if learner.spec.window:
        outputs = state.shape.plan.outputs
        arrays["table/linear"] = state.table0[learned, outputs : outputs + state.shape.layout.classes]
    arrays["table/head_0"] = state.table0[learned, : state.shape.layout.classes]
    np.savez(
        file, about=np.array(json.dumps(about)), **{name.replace("/", "."): a for name, a in arrays.items()}
    )


class PortableModel:
    """Predictions of an exported learner, by NumPy alone."""

    def __init__(self, about: dict[str, Any], arrays: Arrays) -> None:
        if about.get("format") != FORMAT:
            raise ValueError(f"expected an exported model of format {FORMAT}, received {about.get('format')}")
        self.spec = ModelSpec.from_dict(about["spec"])
        self.version: int = about["version"]  # entries the learner had learned
        self.classes = tuple(about["classes"])
        self._about = about
        self._arrays = arrays
        self._row = {int(row): position for position, row in enumerate(arrays["table.rows"])}
        slots = {name: slot for slot, name in enumerate(about["numbers"])}
        self._encoder = Encoder(self.spec, slots, about["categories"])
        self._experts = PortableExperts(self.spec, arrays) if self.spec.window else None

    @classmethod
    def load(cls, file: File) -> Self:
        """The model of an exported file. Raises `ValueError` if it is none."""
        with np.load(file, allow_pickle=False) as stored:
            if "about" not in stored:
                raise ValueError(f"expected an exported model, received a file with {', '.join(stored)}")
            return cls(
                json.loads(str(stored["about"])), {name: stored[name] for name in stored if name != "about"}
            )

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Class -> probability."""
        if self.spec.task == "regression":
            raise ValueError("a regression has no classes: call predict_one for the number")
        mixed: list[float] = self._mixed(x).tolist() if self.classes else []
        return dict(zip(self.classes, mixed, strict=True))

    def predict_one(self, x: Features) -> dict[str, float] | float:
        """Class -> probability for classifiers, the expected number for regression."""
        if self.spec.task != "regression":
            return self.predict_proba_one(x)
        _, mean, variance = self._arrays["moments"][:3]
        return float(mean + np.sqrt(variance) * self._mixed(x)[0])

    def _mixed(self, x: Features) -> npt.NDArray[np.float64]:
        """The mixture of all depths, or of all experts."""
        self._encoder.read(x)
        if np.isfinite(self._encoder.values).sum() != self._encoder.present:
            self._encoder.refuse(x)
        inputs, z = self._inputs()
        rows, weights = self._encoder.rows, self._arrays
        logits = weights["head_0.bias"] + inputs @ weights["head_0.kernel"]
        for row in rows:
            if row in self._row:
                logits = logits + weights["table.head_0"][self._row[row]]
        said = [self._output(logits)]
        unit, running = inputs, np.zeros(self.spec.width)
        for depth in range(1, self.spec.hidden_layers + 1):
            kernel = weights["input.kernel" if depth == 1 else f"hidden_{depth}.kernel"]
            sums = unit @ kernel + weights[f"hidden_{depth}.bias"]
            if depth == 1:
                sums = sums + sum(self._table_row(row) for row in rows)
            unit = np.maximum(sums, 0.0)
            if self.spec.preset != "paper":
                running = running + unit
                unit = running / np.sqrt(np.mean(running * running) + RMS_FLOOR)
            logits = weights[f"head_{depth}.bias"] + unit @ weights[f"head_{depth}.kernel"]
            said.append(self._output(logits))
        if self._experts is not None:
            kinds = rows[: len(self._about["categories"])]
            known = [self._row[row] for row in rows if row in self._row]
            return self._experts.mixed(np.array(said), z, kinds, known)
        return np.asarray(weights["alpha"] @ np.array(said), np.float64)

    def _output(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.spec.task == "regression":
            return logits
        powers = np.exp(logits - logits.max())
        return np.asarray(powers / powers.sum())

    def _table_row(self, row: int) -> npt.NDArray[Any]:
        """First-layer weights of a category; those of a row that was never learned follow from the seed."""
        if row in self._row:
            learned: npt.NDArray[Any] = self._arrays["table.input"][self._row[row]]
            return learned
        step = np.array([GOLDEN_RATIO], np.uint64)
        start = _mix(np.array([self._about["table_key"]], np.uint64) + np.array([row], np.uint64) * step)
        bits = _mix(start + np.arange(1, self.spec.width + 1, dtype=np.uint64) * step) >> np.uint64(40)
        return np.asarray(self._about["table_limit"] * (bits.astype(np.float64) * 2.0**-23 - 1.0))

    def _inputs(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """The dense inputs: z-scores, ramps and missing indicators of the encoder's values; and the z-scores
        before those with ramps are standardised again."""
        moments, ramps = self._arrays["moments"], self.spec.ramps
        inputs = np.zeros(self._arrays["head_0.kernel"].shape[0])
        fields = self._about["field_rows"]
        scores = np.zeros(len(fields), np.float32)
        for slot, (column, ramp, missing) in enumerate(fields):
            value, at = self._encoder.values[slot], HEAD_NUMBERS + slot * FIELD_NUMBERS
            if np.isnan(value):
                if missing >= 0:
                    inputs[missing] = 1.0
                continue
            share = 1.0 / (moments[at] + 1.0)
            z = float(_score(np.clip(value, -VALUE_MAX, VALUE_MAX), moments[at + 1], moments[at + 2], share))
            inputs[column] = scores[slot] = z
            if ramp >= 0:
                start = HEAD_NUMBERS + len(fields) * FIELD_NUMBERS + ramp * RAMP_NUMBERS
                spacing = (RAMPS_TO - RAMPS_FROM) / ramps
                ramped = np.clip((z - RAMPS_FROM) / spacing - np.arange(ramps), 0.0, 1.0)
                means, variances = moments[start : start + ramps], moments[start + 16 : start + 16 + ramps]
                inputs[column + 1 : column + 1 + ramps] = _score(
                    ramped, means, variances, share, RAMP_VARIANCE_MIN
                )
                inputs[column] = float(_score(z, moments[at + 3], moments[at + 4], share))
        return inputs, scores


def _score(value: Any, mean: Any, variance: Any, share: float, least: float = VARIANCE_MIN) -> Any:
    """z-scores under moments updated by the values themselves."""
    gap = value - mean
    mean = mean + share * gap
    variance = (1.0 - share) * (variance + share * gap * gap)
    varies = variance > (SPREAD_MIN * mean * mean + least)
    spread = np.sqrt(np.where(varies, variance, 1.0))
    return np.where(varies, np.clip((value - mean) / spread, -Z_MAX, Z_MAX), 0.0)


def _mix(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    key = (key ^ np.right_shift(key, np.uint64(30))) * np.array([MIX_1], np.uint64)
    key = (key ^ np.right_shift(key, np.uint64(27))) * np.array([MIX_2], np.uint64)
    return np.bitwise_xor(key, np.right_shift(key, np.uint64(31)))
