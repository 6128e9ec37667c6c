"""What learns: this project's learner, what a user could pick instead, and baselines."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from river import compose, forest, linear_model, multiclass, preprocessing

from hedge_model import HedgeLearner, ModelSpec
from odl.event import Features, Label, Prediction
from quality_parts.streams import Stream

TREES = 10


class Candidate:
    """Predicts and learns one event at a time. Labels are class names, or numbers."""

    def predict(self, x: Features) -> Prediction | None:
        """Class -> probability, a number, or None without an opinion."""
        raise NotImplementedError

    def learn(self, x: Features, y: Label) -> None:
        """Learn one event."""
        raise NotImplementedError

    def predict_then_learn(self, x: Features, y: Label) -> Prediction | None:
        """Both, for a label that is known at once."""
        prediction = self.predict(x)
        self.learn(x, y)
        return prediction


@dataclass(frozen=True)
class Choice:
    """A learner that can be chosen by name."""

    name: str
    make: Callable[[Stream], Candidate]
    is_slow: bool = False  # learns a prefix of the stream only


class Ours(Candidate):
    """`HedgeLearner`; everything but task and classes is learned from the stream."""

    def __init__(self, stream: Stream, **settings: Any) -> None:
        self.learner = HedgeLearner(ModelSpec(task=stream.task, classes=stream.classes, **settings))
        self.predict, self.learn = self.learner.predict_one, self.learner.learn_one  # type: ignore[method-assign]
        self.predict_then_learn = self.learner.prequential_one  # type: ignore[method-assign]


def fixed_depth(stream: Stream, hidden_layers: int) -> Ours:
    """The paper's network with one classifier, at its last layer: all hedge weight is there and stays."""
    ours = Ours(stream, preset="paper", hidden_layers=hidden_layers, beta=1 - 1e-12, s=1e-12)
    alpha = ours.learner._state.views["alpha"]
    alpha[: hidden_layers + 1] = np.eye(hidden_layers + 1)[-1]
    return ours


class OfRiver(Candidate):
    """An estimator of river's behind its own encoding; absent features are what it knows as missing."""

    def __init__(self, model: Any, stream: Stream, scaled: bool) -> None:
        text = compose.SelectType(str, bool) | preprocessing.OneHotEncoder(drop_zeros=True)
        numbers = compose.SelectType(Number) | preprocessing.StandardScaler()
        first = next(iter(stream.examples(1))).x
        has_text = any(isinstance(value, str | bool) for value in first.values())
        encoding = numbers + text if has_text else preprocessing.StandardScaler()
        self._model = encoding | model if scaled else model
        self._is_regression = stream.task == "regression"
        self._truth = stream.classes[1] if scaled and stream.task == "binary" else None
        self._lie = stream.classes[0] if stream.classes else ""

    def predict(self, x: Features) -> Prediction | None:
        """River's prediction under the stream's class names."""
        there = {name: value for name, value in x.items() if value is not None}
        if self._is_regression:
            return float(self._model.predict_one(there) or 0.0)
        found: dict[Any, float] = self._model.predict_proba_one(there)
        if self._truth is None:
            return found
        return {self._lie: found.get(False, 0.5), self._truth: found.get(True, 0.5)}

    def learn(self, x: Features, y: Label) -> None:
        """Learn what is there."""
        there = {name: value for name, value in x.items() if value is not None}
        self._model.learn_one(there, y if self._truth is None else y == self._truth)


def linear(stream: Stream) -> Candidate:
    """Standard scaler, one-hot, logistic regression (one against the rest) or linear regression."""
    if stream.task == "regression":
        model: Any = preprocessing.TargetStandardScaler(regressor=linear_model.LinearRegression())
    elif stream.task == "binary":
        model = linear_model.LogisticRegression()
    else:
        model = multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
    return OfRiver(model, stream, scaled=True)


def trees(stream: Stream) -> Candidate:
    """Adaptive random forest. For regression its leaves are linear models, which want scales and no text."""
    if stream.task == "regression":
        return OfRiver(forest.ARFRegressor(n_models=TREES, seed=1), stream, scaled=True)
    return OfRiver(forest.ARFClassifier(n_models=TREES, seed=1), stream, scaled=False)


class BaseRate(Candidate):
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
        "river-linear": Choice(name, linear),
        "river-arf": Choice(name, trees, is_slow=True),
        "base-rate": Choice(name, BaseRate),
        "last-label": Choice(name, LastLabel),
    }
    kind, _, rest = name.partition(":")
    if name in known:
        return known[name]
    if kind == "fixed" and rest.isdigit():
        return Choice(name, lambda stream: fixed_depth(stream, int(rest)))
    if kind == "ours" and rest:
        settings = dict(_setting(part) for part in rest.split(","))
        return Choice(name, lambda stream: Ours(stream, **settings))
    raise SystemExit(
        f"no learner '{name}': there are {', '.join(known)}, fixed:DEPTH (the paper's network of one depth), "
        "and ours:SETTING=VALUE,… with the settings of ModelSpec"
    )


def _setting(part: str) -> tuple[str, Any]:
    name, _, text = part.partition("=")
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, text


DEFAULT = ("ours", "paper", "river-linear", "river-arf", "base-rate", "last-label")
