"""What seldon-core hosts to be compared with: a model that does nothing, and the Keras network."""

import os
from typing import Any


class Nothing:
    """Answers a constant; learns nothing."""

    def predict(self, X: Any, names: list[str], meta: dict[str, Any] | None = None) -> list[list[float]]:
        """One row for each row."""
        return [[0.5, 0.5]] * len(X)

    def send_feedback(
        self, features: Any, names: list[str], reward: float, truth: Any, routing: Any = None
    ) -> list[Any]:
        """Does nothing."""
        return []

    def tags(self) -> dict[str, Any]:
        """Which process answers: gunicorn's worker."""
        return {"pid": os.getpid()}


class Network(Nothing):
    """The same network in Keras, of which a service loads its own copy in every worker."""

    def load(self) -> None:
        """Build it and predict once, so that what TensorFlow needs is there."""
        import numpy as np

        from hedge_model import ModelSpec
        from hedge_model.network import HedgeNetwork
        from serving_parts.servers import FEATURES

        spec = ModelSpec(preset="paper", task="binary", classes=("0", "1"), hidden_layers=20)
        self.network = HedgeNetwork(spec, n_inputs=len(FEATURES), n_outputs=2)
        self.network.predict_on_batch(np.zeros((1, len(FEATURES)), np.float32))

    def predict(self, X: Any, names: list[str], meta: dict[str, Any] | None = None) -> Any:
        """What it says of each row."""
        return self.network.predict_on_batch(X.astype("float32"))
