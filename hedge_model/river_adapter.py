"""The learner as an estimator of river (https://riverml.xyz): pipelines, metrics and evaluation work with it.

Needs river, which nothing else in this package does.

>>> from river import datasets, evaluate, metrics
>>> model = HedgeClassifier(task="binary", hidden_layers=2, width=32)
>>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
Accuracy: 9...%
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from river import base

from hedge_model.learner import HedgeLearner
from hedge_model.spec import ModelSpec
from hedge_model.values import Label, Value

RiverFeatures: TypeAlias = Mapping[Any, Value]  # river allows any hashable as a name


class _Portable(HedgeLearner):
    """Copies and pickles by its bytes: its arrays are views of each other, which plain copies would part."""

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)


class _Hedge(base.Estimator):  # type: ignore[misc]  # river has no types
    """What classifier and regressor share."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings  # river clones and prints what bears the name of a parameter
        self._learner = _Portable(ModelSpec.from_dict(settings))

    @property
    def learner(self) -> HedgeLearner:
        """The learner behind it: `learner.to_bytes()` is what a replica serves."""
        return self._learner

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"hidden_layers": 2, "width": 16}


class HedgeClassifier(_Hedge, base.Classifier):  # type: ignore[misc]
    """Online deep classifier; single pass, no scaling or encoding needed.

    Parameters
    ----------
    settings
        Those of `hedge_model.ModelSpec`, by name: `task`, `classes`, `fields`, `preset`, … None is needed:
        classes and fields are learned from the stream.

    References
    ----------
    Sahoo, Pham, Lu, Hoi: Online Deep Learning: Learning Deep Neural Networks on the Fly. IJCAI 2018.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self._learner.spec.task == "regression":
            raise ValueError("expected task 'binary' or 'multiclass'; for 'regression' see HedgeRegressor")
        self._labels: dict[str, Label] = {}  # class name -> the label as river's user wrote it

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: RiverFeatures, y: Label, w: float = 1.0) -> None:
        """Learn one event of weight `w`."""
        self._learner.learn_one(_named(x), y, w)
        self._labels.setdefault(self._learner.spec.class_name(y), y)

    def predict_proba_one(self, x: RiverFeatures, **_: Any) -> dict[Label, float]:
        """Label -> probability; a class that was declared but never seen goes by its name."""
        named = self._learner.predict_proba_one(_named(x))
        total = sum(
            named.values()
        )  # 1 within the precision of float32; river's checks ask for that of float64
        return {self._labels.get(name, name): probability / total for name, probability in named.items()}


class HedgeRegressor(_Hedge, base.Regressor):  # type: ignore[misc]
    """Online deep regressor; single pass, no scaling of features or target needed.

    Parameters
    ----------
    settings
        Those of `hedge_model.ModelSpec`, by name, but for `task`.

    References
    ----------
    Sahoo, Pham, Lu, Hoi: Online Deep Learning: Learning Deep Neural Networks on the Fly. IJCAI 2018.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"task": "regression", **settings})
        self.settings = settings

    def learn_one(self, x: RiverFeatures, y: float, w: float = 1.0) -> None:
        """Learn one event of weight `w`."""
        self._learner.learn_one(_named(x), y, w)

    def predict_one(self, x: RiverFeatures, **_: Any) -> float:
        """The expected number."""
        predicted = self._learner.predict_one(_named(x))
        assert isinstance(predicted, float)
        return predicted


def _named(x: RiverFeatures) -> dict[str, Value]:
    return {str(name): value for name, value in x.items()}
