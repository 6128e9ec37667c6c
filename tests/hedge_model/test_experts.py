"""The experts beside the depths, and the mixture of all, do what a plain NumPy account of the past says.

The reference keeps the whole stream and works out every event's prediction from it, in float64; only what the
depths say is taken from the learner, whose network is compared with Keras elsewhere.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.encoder import Features

Floats = npt.NDArray[np.float64]
Event = tuple[Features, Any, float]

WINDOW = 300
EVENTS = 430  # the ring goes round
EVENTS_WIDE = 120
WIDE = 70  # number fields, more than the dimensions of a point


class Reference:
    """All events so far, and a mixture of experts that are worked out from them."""

    def __init__(self, experts: int, regression: bool) -> None:
        self.regression = regression
        self.points: list[Features] = []  # z-scores and categories of past events
        self.labels: list[Any] = []  # classes, or standardised targets
        self.values: dict[str, list[float]] = {}  # of each number
        self.targets: list[float] = []
        depths = experts - 6
        even = 1 / (depths + 1)
        slow = [*[even] * depths, 0, 0, 0, 0, 0, even]  # of the depths and the linear expert
        self.weights = np.array([[1 / experts] * experts, slow])  # of the fast mixture and of the slow one
        self.trust = np.array([0.5, 0.5])  # in each of the two
        self.mean_square = 1.0  # of a regression's errors
        self.linear: dict[tuple[str, Any], Floats] = {}  # weights and sums of squares, [2, C]
        self.relevance: dict[str, float] = {}  # of each dimension in the distance

    def scores(self, x: Features) -> Features:
        """z-scores by all values up to this one; categories as they are; what is missing is left out."""
        scores: dict[str, Any] = {}
        for name, value in x.items():
            if isinstance(value, str):
                scores[name] = value
            elif value is not None:
                seen = np.array([*self.values.get(name, []), value])
                score = (seen[-1] - seen.mean()) / seen.std() if seen.std() > 0 else 0.0
                scores[name] = np.clip(score, -10, 10)
        return scores

    def point(self, x: Features) -> Features:
        """The scores, at most 64 numbers among them."""
        point: dict[str, Any] = {}
        names, scores = sorted(x), self.scores(x)
        for number, name in enumerate(names):
            if number < 64 or isinstance(scores.get(name), str):
                point |= {name: scores[name]} if name in scores else {}
            else:  # only where every number is there
                sign = 1.0 if number * 2_654_435_761 // 65_536 % 2 else -1.0
                point[names[number - 64]] += sign * scores[name]
        return point

    def distance(self, one: Features, other: Features) -> float:
        total = 0.0
        for name in one.keys() | other.keys():
            a, b = one.get(name), other.get(name)
            if isinstance(a, str) or isinstance(b, str):
                total += 0.0 if a == b else 2.0
            else:
                total += self.relevance.get(name, 1.0) * ((a or 0.0) - (b or 0.0)) ** 2
        return total

    def votes(self, point: Features, first: int, count: int, classes: list[str]) -> Floats:
        """Of the `count` nearest among the events from number `first` on, by slot if equally near."""
        past = sorted(range(max(first, 0), len(self.points)), key=lambda event: event % WINDOW)
        near = sorted((self.distance(point, self.points[e]), rank, e) for rank, e in enumerate(past))[:count]
        votes = dict.fromkeys(classes, 0.5 / len(classes)) if classes else {"": 0.0}
        summed = 0.5
        for distance, _, event in near:
            tenth = 0.1 * near[-1][0] + 1e-12
            weight = 5.5 * tenth / (distance + tenth)
            summed += weight
            if classes:
                votes[self.labels[event]] += weight
            else:
                votes[""] += weight * self.labels[event]
        return np.array(list(votes.values())) / summed

    def follows(self, classes: list[str]) -> Floats:
        """What followed the last label, the latest counting most."""
        if not classes:
            return np.array(self.labels[-1:] or [0.0])
        counts = dict.fromkeys(classes, 0.0)
        for label, after in zip(self.labels, self.labels[1:], strict=False):
            if label == self.labels[-1]:
                counts = {name: 0.99 * count for name, count in counts.items()}
                counts[after] += 1
        found = np.array(list(counts.values()))
        return np.asarray((found + 1 / len(classes)) / (found.sum() + 1))

    def inputs(self, x: Features) -> dict[tuple[str, Any], float]:
        """What the linear expert multiplies: z-scores, and 1 for every category."""
        point = self.scores(x)
        return {
            (name, value if isinstance(value, str) else None): 1.0
            if isinstance(value, str)
            else float(value or 0)
            for name, value in point.items()
        }

    def line(self, x: Features, outputs: int) -> Floats:
        self.linear = {
            name: np.pad(w, ((0, 0), (0, outputs - w.shape[1]))) for name, w in self.linear.items()
        }
        logits = self.linear.setdefault(("bias", None), np.zeros((2, outputs)))[0]
        for name, value in self.inputs(x).items():
            logits = logits + value * self.linear.setdefault(name, np.zeros((2, outputs)))[0]
        powers = np.exp(logits)
        return logits if self.regression else np.asarray(powers / powers.sum())

    def learn_line(self, inputs: dict[tuple[str, Any], float], error: Floats) -> None:
        self.linear["bias", None][0] -= 0.02 * error
        for name, value in inputs.items():
            weights = self.linear[name]
            weights[1] += (error * value) ** 2
            weights[0] -= 0.02 * error * value / np.sqrt(weights[1] + 1e-10)

    def consult(self, x: Features, depths: Floats, classes: list[str]) -> Floats:
        point, events = self.point(x), len(self.labels)
        said = [*depths, self.follows(classes)]
        said += [self.votes(point, events - WINDOW, count, classes) for count in (1, 4, 16)]
        said += [self.votes(point, events - 250, 4, classes), self.line(x, len(classes) or 1)]
        self.said = said
        evidence = np.array(said)
        if self.regression:
            self.evidence, self.mixtures = evidence, np.asarray(self.weights @ evidence)
        else:
            evidence = np.log(evidence + 1e-3)
            self.evidence = evidence - evidence.mean(axis=1, keepdims=True)
            powers = np.exp(self.weights @ self.evidence)
            self.mixtures = np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return np.asarray(self.trust @ self.mixtures)

    def learn(self, x: Features, y: Any, weight: float, classes: list[str]) -> None:
        """Learn the event that was consulted on."""
        events = len(self.labels)
        self.points.append(self.point(x))
        inputs = self.inputs(x)
        for name, value in x.items():
            if value is not None and not isinstance(value, str):
                self.values.setdefault(name, []).append(float(value))
        fast = weight * 0.005 * (1 + 4 / (1 + events / 100))
        slow = weight * 0.005 / (1 + events / 700)
        if self.regression:
            self.targets.append(y)
            seen = np.array(self.targets)
            y = float(np.clip((seen[-1] - seen.mean()) / seen.std(), -10, 10)) if seen.std() > 0 else 0.0
        truth = y if self.regression else np.array([name == y for name in classes])
        self.learn_trust(truth)
        for step, weights, mixture in zip((fast, slow), self.weights, self.mixtures, strict=True):
            if self.regression:
                pull, error = self.evidence[:, 0], np.clip(mixture[0] - y, -3, 3)
                weights -= step / (1 + step * pull @ pull) * error * pull
            else:
                pull = self.evidence @ (mixture - truth)
                weights -= step / (1 + step / 2 * pull @ pull) * pull
        error = self.said[-1] - truth
        self.learn_line(inputs, weight * (np.clip(error, -3, 3) if self.regression else error))
        self.labels.append(y)
        if events % 50 == 49:
            self.relevance = self._relevance(classes)

    def learn_trust(self, truth: Any) -> None:
        """The mixture that made the truth more likely is trusted more."""
        merits = self.mixtures @ truth if not self.regression else np.zeros(2)
        if self.regression:
            squares = np.clip(self.mixtures[:, 0] - truth, -3, 3) ** 2
            merits = np.exp(np.maximum(-squares / 2 / (self.mean_square + 1e-12), -87))
            error = np.clip(self.trust @ self.mixtures[:, 0] - truth, -3, 3)
            self.mean_square = 0.99 * self.mean_square + 0.01 * error**2
        merits = merits + 1e-3
        if any(isinstance(value, str) for point in self.points for value in point.values()):
            merits[0] **= 1.02
        trust = self.trust * merits
        self.trust = 0.999 * trust / trust.sum() + 0.0005

    def _relevance(self, classes: list[str]) -> dict[str, float]:
        events = len(self.labels)
        faded = np.array([0.99 ** ((events - 1) // 50 - event // 50) for event in range(events)])
        names = sorted({n for p in self.points for n, v in p.items() if not isinstance(v, str)})
        share = {}
        for name in names:
            values = np.array([float(point.get(name, 0.0) or 0.0) for point in self.points])
            mean = faded @ values / faded.sum()
            if self.regression:
                y = np.array(self.labels)
                mean_y = faded @ y / faded.sum()
                both = faded @ ((values - mean) * (y - mean_y)) / faded.sum()
                spread = faded @ (values - mean) ** 2 * (faded @ (y - mean_y) ** 2) / faded.sum() ** 2
                share[name] = max(both**2 / spread - 1 / faded.sum(), 0)
            else:
                between = -float(len(classes))
                for label in classes:
                    of_class = faded * np.array([found == label for found in self.labels])
                    if of_class.sum():
                        between += of_class.sum() * (of_class @ values / of_class.sum() - mean) ** 2
                share[name] = max(between / faded.sum(), 0)
        mean = np.mean(list(share.values())) if share else 0.0
        return {
            name: float(np.sqrt((b + 0.1 * mean + 1e-3) / (1.1 * mean + 1e-3))) for name, b in share.items()
        }


def events(kind: str, regression: bool) -> Iterator[Event]:
    random = np.random.default_rng(5)
    names = ["low", "middle", "high"] if kind != "binary" else ["low", "high"]
    for event in range(EVENTS_WIDE if kind == "wide" else EVENTS):
        values = random.standard_normal(WIDE if kind == "wide" else 4)
        x: dict[str, Any] = {f"n{j}": value for j, value in enumerate(values.tolist())}
        if kind == "categorical":
            x = {"n0": values[0], **{f"c{j}": str(int(v * 3)) for j, v in enumerate(values[1:].tolist())}}
        target = values[0] + values[1] * values[2]
        if kind == "growing":
            x["c7"] = "even" if random.random() < 0.5 else "odd"
            target += (x["c7"] == "odd") * 1.0
            if event < 60:
                del x["n3"]
            if event > 100 and random.random() < 0.2:
                x["n1"] = None
            if event > 150:
                x["c8"] = str(random.integers(5))
        place = int(np.clip((target + 1.5) / 3, 0, 0.999) * len(names))
        label = names[place] if kind != "growing" or event > 120 or place < 2 else names[1]
        yield x, target * 7 + 3 if regression else label, float(random.uniform(0.5, 2.0))


CLASSES = ("low", "middle", "high")


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (
            "binary",
            ModelSpec(task="binary", classes=("low", "high"), window=WINDOW, hidden_layers=1, width=8),
        ),
        ("many", ModelSpec(classes=CLASSES, window=WINDOW, hidden_layers=2, width=8)),
        ("wide", ModelSpec(classes=CLASSES, window=WINDOW, hidden_layers=0)),
        ("growing", ModelSpec(window=WINDOW, hidden_layers=1, width=8)),
        ("categorical", ModelSpec(classes=CLASSES, window=WINDOW, hidden_layers=1, width=8)),
        ("categorical", ModelSpec(task="regression", window=WINDOW, hidden_layers=1, width=8)),
        ("many", ModelSpec(task="regression", window=WINDOW, hidden_layers=1, width=8)),
        ("growing", ModelSpec(task="regression", window=WINDOW, hidden_layers=1, width=8)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.task,
)
def test_predictions_are_those_of_a_plain_account_of_the_past(kind: str, spec: ModelSpec) -> None:
    learner, regression, worst = HedgeLearner(spec), spec.task == "regression", 0.0
    reference, fields = Reference(spec.hidden_layers + 7, regression), set[str]()
    for x, y, weight in events(kind, regression):
        known = list(learner.classes)
        if fields and (known or regression):
            depths = learner.predict_depths_one(x).astype(np.float64)
            expected = reference.consult({name: x[name] for name in x if name in fields}, depths, known)
            if regression:
                seen = np.array(reference.targets)
                expected = seen.mean() + seen.std() * expected
            predicted = learner.predict_one(x)
            found = list(predicted.values()) if isinstance(predicted, dict) else [predicted]
            worst = max(worst, float(np.abs(np.array(found) - expected).max()))
        if not fields.issuperset(x) or not (regression or y in known):  # learned with what is new
            fields |= x.keys()
            grown = copy.deepcopy(learner)
            grown._fold.meet(x)
            if not (regression or y in known):
                grown._fold.grow_class(y)
                known.append(y)
            reference.consult(x, grown.predict_depths_one(x).astype(np.float64), known)
        learner.learn_one(x, y, weight)
        reference.learn(x, y, weight, known)
    memory = learner._state.shape.memory
    views = memory.views(learner._state.memory)
    weights = views["expert_weight"][:, : memory.experts]
    assert worst < 1e-4
    assert weights == pytest.approx(reference.weights, abs=1e-4)
    assert views["trust"][:2] == pytest.approx(reference.trust, abs=1e-3)
    assert np.ptp(weights) > 0.02
    assert learner._state.shape.categorical == (kind == "categorical")
