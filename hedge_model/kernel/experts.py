"""The experts beside the network: asked before an event is learned, taught after."""
# mypy: allow-untyped-defs

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import LEARNED
from hedge_model.kernel.linear import learn_linear, predict_linear
from hedge_model.kernel.markov import count_label, follow
from hedge_model.kernel.neighbours import ask, ask_recent, remember
from hedge_model.kernel.relevance import EVERY, add_up, weigh
from hedge_model.kernel.stacking import restack, stack


@compiled
def consult(plan, memory, table0, moments, work, lists, active):
    """Ask every expert that is no depth, and mix what all say."""
    out, learned = plan.output + plan.heads * plan.outputs, int(moments[LEARNED])
    follow(plan, memory, moments, work, out)
    ask(plan, memory, work, lists, active, learned, out + plan.outputs)
    last = plan.output + (plan.experts - 1) * plan.outputs
    ask_recent(plan, memory, work, learned, last - plan.outputs)
    predict_linear(plan, memory, table0, work, lists, active, last)
    stack(plan, memory, work)


@compiled
def teach(plan, memory, table0, moments, fresh, work, lists, active, truth, target, weight):
    """Let the experts and their mixture learn the event that `consult` was asked about."""
    learned = int(moments[LEARNED])
    restack(plan, memory, work, learned, truth, target, weight)
    last = plan.output + (plan.experts - 1) * plan.outputs
    learn_linear(plan, memory, table0, work, lists, active, last, truth, target, weight)
    count_label(plan, memory, moments, fresh, truth, target)
    remember(plan, memory, work, learned, truth, target)
    add_up(plan, memory, work, truth, target)
    if learned % EVERY == EVERY - 1:
        weigh(plan, memory, work)
