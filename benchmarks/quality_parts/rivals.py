"""What a user could pick instead and pip installs with the benchmarks: river and Vowpal Wabbit."""

from numbers import Number
from typing import Any

from river import compose, ensemble, forest, linear_model, multiclass, optim, preprocessing
from vowpalwabbit import Workspace

from odl.event import Features, Label, Prediction
from quality_parts.candidate import Candidate, crossed
from quality_parts.streams import Stream

TREES = 10  # unless the name says how many
ADAGRAD = 0.02  # the rate of river's AdaGrad that did best on the first 120,000 flights
VOWPAL_BITS = 18  # its own default
VOWPAL_SYNTAX = str.maketrans(" :|\n\r\t", "______")  # characters with a meaning in its text format


def has_text(stream: Stream) -> bool:
    """Whether the first event has categories."""
    first = next(iter(stream.examples(1))).x
    return any(isinstance(value, str | bool) for value in first.values())


def encoding(stream: Stream) -> Any:
    """Numbers scaled, categories one-hot."""
    if not has_text(stream):
        return preprocessing.StandardScaler()
    text = compose.SelectType(str, bool) | preprocessing.OneHotEncoder(drop_zeros=True)
    return (compose.SelectType(Number) | preprocessing.StandardScaler()) + text


class OfRiver(Candidate):
    """An estimator of river's behind its own encoding; absent features are what it knows as missing."""

    def __init__(self, model: Any, stream: Stream, scaled: bool) -> None:
        self._model = encoding(stream) | model if scaled else model
        self._crosses, self._has_text = stream.crosses, has_text(stream)
        self._is_regression = stream.task == "regression"
        self._truth = stream.classes[1] if scaled and stream.task == "binary" else None
        self._lie = stream.classes[0] if stream.classes else ""

    def predict(self, x: Features) -> Prediction | None:
        """River's prediction under the stream's class names."""
        there = crossed(x, self._crosses, self._has_text)
        if self._is_regression:
            return float(self._model.predict_one(there) or 0.0)
        found: dict[Any, float] = self._model.predict_proba_one(there)
        if self._truth is None:
            return found
        return {self._lie: found.get(False, 0.5), self._truth: found.get(True, 0.5)}

    def learn(self, x: Features, y: Label) -> None:
        """Learn what is there."""
        there = crossed(x, self._crosses, self._has_text)
        self._model.learn_one(there, y if self._truth is None else y == self._truth)


def linear(stream: Stream, rate: float | None = None) -> Candidate:
    """Standard scaler, one-hot, logistic regression (one against the rest) or linear regression: by gradient
    descent as river has it, or by AdaGrad with this rate."""
    optimizer = optim.AdaGrad(rate) if rate else None
    if stream.task == "regression":
        model: Any = preprocessing.TargetStandardScaler(regressor=linear_model.LinearRegression(optimizer))
    elif stream.task == "binary":
        model = linear_model.LogisticRegression(optimizer)
    else:
        model = multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optimizer))
    return OfRiver(model, stream, scaled=True)


def adagrad(stream: Stream) -> Candidate:
    """The same by AdaGrad."""
    return linear(stream, ADAGRAD)


def forest_of(stream: Stream, count: int = TREES) -> Candidate:
    """Adaptive random forest. For regression its leaves are linear models, which want scales and no text."""
    if stream.task == "regression":
        return OfRiver(forest.ARFRegressor(n_models=count, seed=1), stream, scaled=True)
    return OfRiver(forest.ARFClassifier(n_models=count, seed=1), stream, scaled=False)


def patches_of(stream: Stream, count: int = TREES) -> Candidate:
    """Streaming random patches: trees on random parts of the fields and of the events."""
    if stream.task == "regression":
        return OfRiver(ensemble.SRPRegressor(n_models=count, seed=1), stream, scaled=True)
    return OfRiver(ensemble.SRPClassifier(n_models=count, seed=1), stream, scaled=False)


class VowpalWabbit(Candidate):
    """Vowpal Wabbit as it comes (adaptive, normalised, invariant steps), fed with text in its format."""

    def __init__(self, stream: Stream, more: str = "") -> None:
        self._index = {name: k for k, name in enumerate(stream.classes)}
        self._classes, self._crosses, self._task = stream.classes, stream.crosses, stream.task
        arguments = {
            "binary": "--loss_function logistic --link logistic",
            "multiclass": f"--oaa {len(stream.classes)} --loss_function logistic --probabilities",
            "regression": "",
        }[stream.task]
        self._model = Workspace(f"--quiet --random_seed 1 -b {VOWPAL_BITS} {arguments} {more}")

    def predict(self, x: Features) -> Prediction | None:
        """Its prediction under the stream's class names."""
        said: Any = self._model.predict(self._line(x))
        if self._task == "regression":
            return float(said)
        if self._task == "binary":
            return dict(zip(self._classes, (1.0 - said, said), strict=True))
        return dict(zip(self._classes, said, strict=True))

    def learn(self, x: Features, y: Label) -> None:
        """Learn one line of text."""
        label: float = float(y) if self._task == "regression" else self._index[str(y)] + 1
        if self._task == "binary":
            label = 2 * label - 3  # it wants -1 and 1
        self._model.learn(f"{label} {self._line(x)}")

    def _line(self, x: Features) -> str:
        numbers, texts = ["|n"], ["|c"]
        for name, value in crossed(x, self._crosses).items():
            plain = name.translate(VOWPAL_SYNTAX)
            if isinstance(value, str | bool):
                texts.append(f"{plain}={str(value).translate(VOWPAL_SYNTAX)}")
            else:
                numbers.append(f"{plain}:{value:.7g}")
        return " ".join(numbers + texts)


def vowpal_network(stream: Stream) -> Candidate:
    """Vowpal Wabbit with one hidden layer of 20 units."""
    return VowpalWabbit(stream, "--nn 20")
