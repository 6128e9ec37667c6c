"""What every learner of the comparison can do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odl.event import Features, Label, Prediction
from quality_parts.streams import Stream


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


def crossed(x: Features, crosses: Sequence[Sequence[str]], tell_missing: bool = True) -> Features:
    """What is there of `x`, what is missing, and each combination of fields, as fields of their own, for
    learners that know neither missing values nor combinations. Without `tell_missing`, for those that take
    no text, what is missing is left out.

    >>> crossed({"origin": "JFK", "hour": 7, "gate": None}, [["origin", "hour"]])
    {'origin': 'JFK', 'hour': 7, 'gate is missing': 'yes', 'origin×hour': 'JFK×7'}
    """
    there: Features = {}
    for name, value in x.items():
        if value is not None:
            there[name] = value
        elif tell_missing:
            there[f"{name} is missing"] = "yes"
    for cross in crosses:
        there["×".join(cross)] = "×".join(str(x.get(name)) for name in cross)
    return there
