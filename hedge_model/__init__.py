"""Online deep learning by Hedge Backpropagation: a deterministic learner of one event at a time.

`HedgeLearner` is loaded when it is first asked for: an exported model scores without the compiler.
"""

from typing import TYPE_CHECKING, Any

from hedge_model.spec import ModelSpec

if TYPE_CHECKING:
    from hedge_model.learner import HedgeLearner

__all__ = ["HedgeLearner", "ModelSpec"]


def __getattr__(name: str) -> Any:
    if name == "HedgeLearner":
        from hedge_model.learner import HedgeLearner

        return HedgeLearner
    raise AttributeError(f"module 'hedge_model' has no attribute '{name}'")
