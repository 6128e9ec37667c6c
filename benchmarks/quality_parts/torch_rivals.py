"""Online networks in PyTorch, compared only where somebody has installed them: they bring two gigabytes."""

import math
from typing import Any

import numpy as np

from odl.event import Features, Label, Prediction
from quality_parts.candidate import Candidate, crossed
from quality_parts.optional import wanted
from quality_parts.rivals import encoding, has_text
from quality_parts.streams import Stream

WIDTH, LAYERS = 100, 2  # deep-river's network
HEDGED_LAYERS = 5  # onn's


def perceptron(classes: int) -> type:
    """A network with an output for every class. deep-river's own has one output, which is enough for two
    classes and its other loss; under cross-entropy it would never learn."""
    torch = wanted("torch", "torch")

    class Perceptron(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, n_features: int) -> None:
            super().__init__()
            widths = [n_features, *[WIDTH] * LAYERS]
            self.hidden = torch.nn.ModuleList(map(torch.nn.Linear, widths, widths[1:]))
            self.last = torch.nn.Linear(WIDTH, classes)

        def forward(self, x: Any) -> Any:
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.last(x)

    return Perceptron


class DeepRiver(Candidate):
    """Two layers of 100 units that deep-river trains behind river's scaler; text is one-hot."""

    def __init__(self, stream: Stream) -> None:
        if stream.task == "regression":
            raise SystemExit("deep-river is compared on classes only: choose streams with classes")
        classification = wanted("deep_river.classification", "deep-river<0.3")
        network = classification.Classifier(
            perceptron(len(stream.classes)),
            loss_fn="cross_entropy",
            optimizer_fn="adam",
            lr=1e-3,
            is_feature_incremental=True,
        )
        network.observed_classes.update(sorted(stream.classes))  # as every learner here knows them
        self._model = encoding(stream) | network
        self._crosses, self._has_text = stream.crosses, has_text(stream)

    def predict(self, x: Features) -> Prediction | None:
        """Class -> probability."""
        found: dict[str, float] = self._model.predict_proba_one(self._given(x))
        return found or None

    def learn(self, x: Features, y: Label) -> None:
        """One step."""
        self._model.learn_one(self._given(x), y)

    def _given(self, x: Features) -> Features:
        return crossed(x, self._crosses, self._has_text)


class Onn(Candidate):
    """onn's Hedge Backpropagation on running z-scores of numbers; it takes no text. Its answer is the class
    with the greatest hedged output, so these outputs are taken for logits."""

    def __init__(self, stream: Stream) -> None:
        if stream.task == "regression":
            raise SystemExit("onn knows classes only: choose streams with classes")
        first = next(iter(stream.examples(1))).x
        self._names = [name for name, value in first.items() if not isinstance(value, str | bool)]
        if not self._names:
            raise SystemExit(f"onn takes numbers only and '{stream.name}' has none: choose other streams")
        network = wanted("onn.OnlineNeuralNetwork", "onn")
        self._torch = wanted("torch", "torch")
        self._torch.manual_seed(1)
        self._model = network.ONN(len(self._names), HEDGED_LAYERS, WIDTH, len(stream.classes))
        self._classes = stream.classes
        self._index = {name: k for k, name in enumerate(stream.classes)}
        self._count = 0
        self._mean, self._square = np.zeros((2, len(self._names)))

    def predict(self, x: Features) -> Prediction | None:
        """Class -> probability; None once its outputs are no longer finite."""
        with self._torch.inference_mode():
            logits = self._model.alpha @ self._model.forward(self._inputs(x))[:, 0]
            probabilities = self._torch.softmax(logits, 0).tolist()
        if not all(map(math.isfinite, probabilities)):
            return None
        return dict(zip(self._classes, probabilities, strict=True))

    def learn(self, x: Features, y: Label) -> None:
        """One step."""
        values = self._values(x)
        self._count += 1
        gap = values - self._mean
        self._mean += gap / self._count
        self._square += gap * (values - self._mean)
        self._model.partial_fit(self._inputs(x), np.array([self._index[str(y)]]), show_loss=False)

    def _values(self, x: Features) -> Any:
        given = [x.get(name) for name in self._names]
        return np.array(
            [m if v is None else float(v) for v, m in zip(given, self._mean, strict=True)], np.float64
        )

    def _inputs(self, x: Features) -> Any:
        spread = np.sqrt(self._square / max(self._count, 1))
        return ((self._values(x) - self._mean) / np.where(spread > 0, spread, 1.0))[None, :]
