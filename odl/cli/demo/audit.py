"""An offline fold of the log that checks every answer: was it the model's at that version, bit for bit?"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hedge_model import HedgeLearner, ModelSpec
from odl.cli.demo.flights import LATE
from odl.cli.demo.scoreboard import Served
from odl.fold import Learned
from odl.learner import Learner
from odl.log import Log
from odl.replay import replay

WEIGHTS_EVERY = 50  # versions between two points of the picture of depth weights


@dataclass(frozen=True)
class Audit:
    """What the fold found."""

    digest: str  # of the learner at the end
    reproduced: int  # answers whose probability the fold gives exactly, at the version they were served at
    depth_0: list[float]  # probability of being late by depth 0 alone, for the same questions and versions
    weights: list[tuple[int, list[float]]]  # version, weight of each depth


def audit(
    log: Log, spec: ModelSpec, served: Sequence[Served], on_version: Callable[[int], None] = lambda _: None
) -> Audit:
    """Fold the log from its beginning and ask at each version what was asked of the replicas there."""
    asked: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(served):
        asked[one.answer.version].append(number)
    learner = HedgeLearner(spec)
    depth_0 = [0.0] * len(served)
    weights = [(0, learner.depth_weights())]
    reproduced = 0

    def ask(version: int) -> None:
        nonlocal reproduced
        for number in asked.pop(version, ()):
            one = served[number]
            reproduced += learner.predict_proba_one(one.flight.x) == one.answer.probabilities
            depth_0[number] = float(learner.predict_depths_one(one.flight.x)[0, spec.classes.index(LATE)])

    def after(learned: Learned, _: Learner) -> None:
        ask(learned.version)
        if learned.version % WEIGHTS_EVERY == 0:
            weights.append((learned.version, learner.depth_weights()))
            on_version(learned.version)

    ask(0)
    done = replay(log, lambda: learner, on_event=after)
    return Audit(done.digest, reproduced, depth_0, weights)
