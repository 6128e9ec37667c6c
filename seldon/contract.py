"""The data contract that seldon-core's testers generate requests from.

>>> contract({"origin": "category", "distance": "number"}, "binary", ["on time", "late"])["features"][1]
{'name': 'distance', 'dtype': 'FLOAT', 'ftype': 'continuous', 'range': ['inf', 'inf']}
"""

from collections.abc import Mapping, Sequence

from seldon.answer import NUMBER_NAME
from seldon.message import Json

UNBOUNDED = ["inf", "inf"]  # the testers draw from a normal distribution then
CATEGORIES = ["a", "b", "c"]  # any will do: a category that is new to a model is a category


def contract(fields: Mapping[str, str], task: str, classes: Sequence[str]) -> Json:
    """The features and targets of a model: `seldon-core-microservice-tester contract.json HOST PORT`."""
    if task == "regression":
        targets = [_continuous(NUMBER_NAME, UNBOUNDED)]
    else:
        targets = [_continuous(name, [0, 1]) for name in classes]
    features = [
        _continuous(name, UNBOUNDED)
        if kind == "number"
        else {"name": name, "dtype": "STRING", "ftype": "categorical", "values": CATEGORIES}
        for name, kind in fields.items()
    ]
    return {"features": features, "targets": targets}


def _continuous(name: str, bounds: Sequence[object]) -> Json:
    return {"name": name, "dtype": "FLOAT", "ftype": "continuous", "range": list(bounds)}
