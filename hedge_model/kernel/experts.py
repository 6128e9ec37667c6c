"""The experts beside the network: asked before an event is learned, taught after."""
# mypy: allow-untyped-defs

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import LEARNED
from hedge_model.kernel.markov import count_label, follow
from hedge_model.kernel.neighbours import ask, remember
from hedge_model.kernel.relevance import EVERY, add_up, weigh
from hedge_model.kernel.stacking import restack, stack


@compiled
def consult(plan, memory, moments, work, lists, active):
    """Ask every expert that is no depth, and mix what all say."""
    out = plan.output + plan.heads * plan.outputs
    follow(plan, memory, moments, work, out)
    ask(plan, memory, work, lists, active, int(moments[LEARNED]), out + plan.outputs)
    stack(plan, memory, work)


@compiled
def teach(plan, memory, moments, fresh, work, truth, target, weight):
    """Let the experts and their mixture learn the event that `consult` was asked about."""
    learned = int(moments[LEARNED])
    restack(plan, memory, work, learned, truth, target, weight)
    count_label(plan, memory, moments, fresh, truth, target)
    remember(plan, memory, work, learned, truth, target)
    add_up(plan, memory, work, truth, target)
    if learned % EVERY == EVERY - 1:
        weigh(plan, memory, work)
