"""The mixture of the experts: an online logistic regression over what they say.

P = softmax(Σ_e w_e x_e), where x_e is the logarithm of what expert e says, less its mean over the classes; a
step of gradient descent after every event, implicit in its length (Kulis & Bartlett, 2010). Weights may be
negative and need not sum to 1, which a mixture of probabilities cannot do. A regression's is linear.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import FAST_START_EVENTS, PROBABILITY_FLOOR
from hedge_model.kernel.elementary import log
from hedge_model.kernel.forward import LOGIT_NONE, softmax
from hedge_model.kernel.lanes import LANES, load, splat, store
from hedge_model.kernel.rows import add_scaled, dot, fill

F = np.float32
RATE = 0.005
FAST_START = 4.0  # the first steps are 1 + this times as long, half of it is over after 100 events
RATE_CATEGORICAL = 0.0002  # where categories decide: slow, for labels come late there
FAST_START_CATEGORICAL = 24.0
FAST_START_EVENTS_CATEGORICAL = 500.0
STEP_MAX = F(1.0)  # an event's weight lengthens its step up to here
ERROR_MAX = F(3.0)  # of a standardised target: one outlier does not overthrow the mixture


@compiled
def centre(plan, work, said, out):
    """Logarithms of what an expert says, less their mean over the classes; 0 in the padding."""
    summed = F(0.0)
    for j in range(0, plan.outputs, LANES):
        store(work, out + j, log(load(work, said + j) + splat(F(PROBABILITY_FLOOR))))
    for k in range(plan.classes):
        summed += work[out + k]
    mean = summed / F(plan.classes)
    for j in range(0, plan.outputs, LANES):
        store(work, out + j, load(work, out + j) - splat(mean))
    for k in range(plan.classes, plan.outputs):
        work[out + k] = F(0.0)


@compiled
def stack(plan, memory, work):
    """The prediction from what the experts say."""
    fill(work, plan.mixed, F(0.0), plan.outputs)
    for expert in range(plan.experts):
        said, x = plan.output + expert * plan.outputs, plan.evidence + expert * plan.outputs
        if plan.regression == 1:
            work[x] = work[said]
        else:
            centre(plan, work, said, x)
        add_scaled(work, plan.mixed, memory[plan.expert_weight + expert], work, x, plan.outputs)
    if plan.regression == 0:
        for k in range(plan.classes, plan.outputs):
            work[plan.mixed + k] = LOGIT_NONE
        softmax(work, plan.mixed, plan.outputs, plan.classes)


@compiled
def restack(plan, memory, work, learned, truth, target, weight):
    """Step the experts' weights after the truth is known."""
    fill(work, plan.residual, F(0.0), plan.outputs)
    for k in range(plan.classes):
        work[plan.residual + k] = work[plan.mixed + k] - (F(1.0) if k == truth else F(0.0))
    share = F(0.5)
    if plan.regression == 1:
        work[plan.residual] = min(max(work[plan.mixed] - target, -ERROR_MAX), ERROR_MAX)
        share = F(1.0)
    squares = F(0.0)
    for expert in range(plan.experts):
        x = plan.evidence + expert * plan.outputs
        pull = work[x] if plan.regression == 1 else dot(work, plan.residual, work, x, plan.outputs)
        work[plan.pull + expert] = pull
        squares += pull * pull
    rate = RATE * (1.0 + FAST_START / (1.0 + learned / FAST_START_EVENTS))
    if plan.categorical == 1:
        rate = RATE_CATEGORICAL * (
            1.0 + FAST_START_CATEGORICAL / (1.0 + learned / FAST_START_EVENTS_CATEGORICAL)
        )
    step = F(rate)
    step = min(step * weight, STEP_MAX)
    step = step / (F(1.0) + share * step * squares)
    if plan.regression == 1:
        step *= work[plan.residual]
    add_scaled(memory, plan.expert_weight, -step, work, plan.pull, -(-plan.experts // LANES) * LANES)
