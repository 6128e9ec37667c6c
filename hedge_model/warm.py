"""`python -m hedge_model.warm`: compile the kernel once and leave it in numba's cache beside the modules.

An image or an installation runs this at build time, so that a replica starts in a second, also on a read-only
file system.
"""

import numpy as np

from hedge_model.learner import HedgeLearner
from hedge_model.spec import ModelSpec


def warm() -> None:
    """Call every compiled entry point once, for each task."""
    for spec, labels in (
        (ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=1, width=16), ("no", "yes")),
        (ModelSpec(task="multiclass", classes=("a", "b", "c"), hidden_layers=1, width=16), ("a", "c")),
        (ModelSpec(task="regression", hidden_layers=1, width=16), (0.5, 1.5)),
    ):
        learner = HedgeLearner(spec)
        for label in labels:
            learner.prequential_one({"number": 1.0, "category": "c", "flag": True, "missing": None}, label)
            learner.learn_one({"number": 2.0}, label)
        learner.prequential_batch(learner.prepare([({"number": 1.0}, label, 1.0) for label in labels]))
        learner.predict_one({"number": 1.0})
        learner.predict_depths_one({"number": 1.0})
        rows = HedgeLearner(spec)
        values = np.ones((2, 3), dtype=np.float32)
        rows.learn_many(values, labels)
        rows.prequential_many(values, labels)
        rows.predict_proba_many(values)
        for made in (learner, rows):  # with category rows, and without
            HedgeLearner.from_bytes(made.to_bytes()).digest()


if __name__ == "__main__":
    warm()
