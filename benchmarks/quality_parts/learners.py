"""What learns: this project's learner, what a user could pick instead, and baselines."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from hedge_model import HedgeLearner, ModelSpec
from odl.event import Features, Label, Prediction
from quality_parts.candidate import Candidate, Choice
from quality_parts.java_rivals import moa_forest, moa_neighbours, moa_patches
from quality_parts.rivals import VowpalWabbit, adagrad, forest_of, linear, patches_of, vowpal_network
from quality_parts.streams import Stream
from quality_parts.torch_rivals import DeepRiver, Onn

# A hedge that never changes its mind.
UNMOVED: dict[str, Any] = {"beta": 1 - 1e-12, "s": 1e-12}
ENSEMBLES: dict[str, Callable[[Stream, int], Candidate]] = {
    **{"river-arf": forest_of, "river-srp": patches_of, "moa-arf": moa_forest, "moa-srp": moa_patches},
}
DEFAULT = (
    *("ours", "paper", "vw", "vw-nn", "river-linear", "river-adagrad", "river-arf"),
    *("majority", "last-label"),
)


class Ours(Candidate):
    """`HedgeLearner`; everything but task, classes and crosses is learned from the stream."""

    def __init__(self, stream: Stream, **settings: Any) -> None:
        given = {"task": stream.task, "classes": stream.classes, "crosses": stream.crosses, **settings}
        self.learner = HedgeLearner(ModelSpec(**given))
        self.predict, self.learn = self.learner.predict_one, self.learner.learn_one  # type: ignore[method-assign]
        self.predict_then_learn = self.learner.prequential_one  # type: ignore[method-assign]


def fixed_depth(stream: Stream, hidden_layers: int, **settings: Any) -> Ours:
    """A network whose last classifier alone predicts: all hedge weight is there and stays."""
    ours = Ours(stream, hidden_layers=hidden_layers, **UNMOVED, **settings)
    weights = ours.learner.weights()
    weights["alpha"][:] = np.eye(hidden_layers + 1)[-1]
    ours.learner.set_weights(weights)
    return ours


class Majority(Candidate):
    """The label frequencies, hence the majority class; the mean for regression."""

    def __init__(self, stream: Stream) -> None:
        self._counts = Counter(dict.fromkeys(stream.classes, 1.0))
        self._mean, self._events = 0.0, 0

    def predict(self, x: Features) -> Prediction | None:
        """The same for every x."""
        total = sum(self._counts.values())
        return {name: count / total for name, count in self._counts.items()} if total else self._mean

    def learn(self, x: Features, y: Label) -> None:
        """Count."""
        if self._counts:
            self._counts[str(y)] += 1
        else:
            self._events += 1
            self._mean += (float(y) - self._mean) / self._events


class LastLabel(Candidate):
    """What was known last, as sure as it has been right so far."""

    def __init__(self, stream: Stream) -> None:
        self._classes, self._last = stream.classes, None
        self._hits, self._events = 1.0, float(max(len(stream.classes), 1))  # at first all are equally likely

    def predict(self, x: Features) -> Prediction | None:
        """The same for every x."""
        if not self._classes:
            return 0.0 if self._last is None else float(self._last)
        right = self._hits / self._events
        others = (1 - right) / max(len(self._classes) - 1, 1)
        return {name: right if name == self._last else others for name in self._classes}

    def learn(self, x: Features, y: Label) -> None:
        """Remember."""
        self._events += 1
        self._hits += y == self._last
        self._last: Any = y


def choose(name: str) -> Choice:
    """The learner of this name. Raises `SystemExit` listing what there is."""
    known: dict[str, Choice] = {
        "ours": Choice(name, Ours),
        "paper": Choice(name, lambda stream: Ours(stream, preset="paper")),
        "vw": Choice(name, VowpalWabbit),
        "vw-nn": Choice(name, vowpal_network),
        "river-linear": Choice(name, linear),
        "river-adagrad": Choice(name, adagrad),
        "river-arf": Choice(name, forest_of, is_slow=True),
        "river-srp": Choice(name, patches_of, is_slow=True),
        "moa-arf": Choice(name, moa_forest),
        "moa-srp": Choice(name, moa_patches),
        "moa-samknn": Choice(name, moa_neighbours),
        "majority": Choice(name, Majority),
        "last-label": Choice(name, LastLabel),
        "deep-river": Choice(name, DeepRiver, is_slow=True),
        "onn": Choice(name, Onn, is_slow=True),
    }
    kind, _, rest = name.partition(":")
    if name in known:
        return known[name]
    if kind == "depth" and rest.isdigit():
        return Choice(name, lambda stream: fixed_depth(stream, int(rest), window=0))
    if kind == "fixed" and rest.isdigit():
        return Choice(name, lambda stream: fixed_depth(stream, int(rest), preset="paper"))
    if kind in ENSEMBLES and rest.isdigit():
        return Choice(name, lambda stream: ENSEMBLES[kind](stream, int(rest)), known[kind].is_slow)
    if kind == "ours" and rest:
        settings = dict(_setting(part) for part in rest.split(","))
        return Choice(name, lambda stream: Ours(stream, **settings))
    raise SystemExit(
        f"no learner '{name}': there are {', '.join(known)}, depth:N (the default's network of one depth), "
        f"fixed:N (the paper's of one depth), {', '.join(f'{kind}:TREES' for kind in ENSEMBLES)}, and "
        "ours:SETTING=VALUE,… with the settings of ModelSpec"
    )


def _setting(part: str) -> tuple[str, Any]:
    name, _, text = part.partition("=")
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, text
