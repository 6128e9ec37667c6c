"""Online deep learning by Hedge Backpropagation: a deterministic learner of one event at a time."""

from hedge_model.learner import HedgeLearner
from hedge_model.spec import ModelSpec

__all__ = ["HedgeLearner", "ModelSpec"]
