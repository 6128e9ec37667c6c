"""Prequential scores of one learner on one stream."""

from typing import Any

import numpy as np

from odl.event import Label, Prediction
from odl.prequential import Prequential

PROBABILITY_MIN = 1e-4  # for every learner: a tree that is certain and wrong would decide the mean alone
BINS = 15  # of confidence, equal widths


class Tally:
    """Scores predictions that were made before the label was learned.

    A learner that has no opinion is taken to find all classes equally likely.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._prequential = Prequential()
        self._counts = np.zeros((2, max(len(classes), 1)))  # predicted, true
        self._bins = np.zeros((3, BINS))  # events, confidence, hits
        self._index = {name: k for k, name in enumerate(classes)}

    @property
    def events(self) -> int:
        """How many were scored."""
        return self._prequential.events

    def update(self, prediction: Prediction | None, y: Label) -> None:
        """Score one event."""
        if not self._classes:
            self._prequential.update(0.0 if prediction is None else prediction, y)
            return
        said = prediction if isinstance(prediction, dict) else {}
        floored = {c: max(said.get(c, 0.0), PROBABILITY_MIN) for c in self._classes}
        total = sum(floored.values())
        probabilities: dict[str, float] = {c: p / total for c, p in floored.items()}
        self._prequential.update(probabilities, y)
        best = max(probabilities, key=probabilities.__getitem__)
        self._counts[0, self._index[best]] += 1
        self._counts[1, self._index[str(y)]] += 1
        bin_ = min(int(probabilities[best] * BINS), BINS - 1)
        self._bins[:, bin_] += 1, probabilities[best], best == y

    def scores(self) -> dict[str, Any]:
        """Score -> value so far, only those that the task has."""
        plain = self._prequential.scores()
        found = {"events": plain.events, "mae": plain.mae, "rmse": plain.rmse}
        if plain.accuracy is not None:
            predicted, true = self._counts / plain.events
            chance = float(predicted @ true)
            found |= {
                "accuracy": plain.accuracy,
                "kappa": (plain.accuracy - chance) / (1 - chance) if chance < 1 else 0.0,
                "auc": plain.auc,
                "log_loss": plain.log_loss,
                "calibration_error": float(np.abs(self._bins[1] - self._bins[2]).sum() / plain.events),
            }
        return {name: value for name, value in found.items() if value is not None}
