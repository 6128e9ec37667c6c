"""The mixtures of the experts: online logistic regressions over what they say, a fast one and a slow one.

P_m = softmax(Σ_e w_e x_e), where x_e is the logarithm of what expert e says, less its mean over the classes;
a step of gradient descent after every event, implicit in its length (Kulis & Bartlett, 2010). Weights may be
negative and need not sum to 1, which a mixture of probabilities cannot do. A regression's is linear.

The prediction is Σ_m v_m P_m, with v_m ← v_m · (P_m(y) + 1e-3), then a fixed share of 1e-3 (Herbster &
Warmuth, 1998): the fast mixture follows change, the slow one, whose steps shrink to nothing, settles. Labels
of streams with categories tend to come late, in an order that makes events look easier when they are learned
than when they were asked about, and easiest to the fast mixture: there its log-loss counts 2 % more. In a
regression's v_m the place of P_m(y) is taken by exp(-e² / 2σ²), e the mixture's error, σ² the prediction's
running mean square error.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import FAST, FAST_START_EVENTS, PROBABILITY_FLOOR
from hedge_model.kernel.elementary import exp, log
from hedge_model.kernel.forward import LOGIT_NONE, softmax
from hedge_model.kernel.lanes import LANES, load, splat, store
from hedge_model.kernel.rows import add_scaled, dot, fill
from hedge_model.layout import MIXTURES

F = np.float32
RATES = (0.005, 0.0)  # of the fast and of the slow mixture in the long run
STARTS = (0.02, 0.005)  # by how much more they are at first
HALF_EVENTS = (FAST_START_EVENTS, 700.0)  # half of that is over after as many events
STEP_MAX = F(1.0)  # an event's weight lengthens its step up to here
ERROR_MAX = F(3.0)  # of a standardised target: one outlier does not overthrow the mixture
MERIT_FLOOR = F(PROBABILITY_FLOOR)  # one bad event costs a mixture at most this factor
SHARE = F(1e-3)  # of the trust that is kept equal
HANDICAP = F(0.02)  # share by which the fast mixture's log-loss must be the lower, where there are categories
ERROR_KEPT = F(0.99)  # of the running mean square error
ERROR_MIN = F(1e-12)


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
    for expert in range(plan.experts):
        said, x = plan.output + expert * plan.outputs, plan.evidence + expert * plan.outputs
        if plan.regression == 1:
            work[x] = work[said]
        else:
            centre(plan, work, said, x)
    fill(work, plan.mixed, F(0.0), plan.outputs)
    for m in range(MIXTURES):
        out, row = plan.mixture + m * plan.outputs, plan.expert_weight + m * weights_length(plan)
        fill(work, out, F(0.0), plan.outputs)
        for expert in range(plan.experts):
            x = plan.evidence + expert * plan.outputs
            add_scaled(work, out, memory[row + expert], work, x, plan.outputs)
        if plan.regression == 0:
            for k in range(plan.classes, plan.outputs):
                work[out + k] = LOGIT_NONE
            softmax(work, out, plan.outputs, plan.classes)
        add_scaled(work, plan.mixed, memory[plan.trust + m], work, out, plan.outputs)


@compiled
def weights_length(plan):
    """Length of one mixture's weights with their padding."""
    return -(-plan.experts // LANES) * LANES


@compiled
def restack(plan, memory, work, learned, truth, target, weight):
    """Step the experts' weights in both mixtures, and the trust in these, after the truth is known."""
    trust(plan, memory, work, truth, target)
    for m in range(MIXTURES):
        rate = RATES[m] + STARTS[m] / (1.0 + learned / HALF_EVENTS[m])
        restack_one(plan, memory, work, m, F(rate), truth, target, weight)


@compiled
def restack_one(plan, memory, work, m, rate, truth, target, weight):
    """Step the experts' weights in one mixture."""
    out = plan.mixture + m * plan.outputs
    fill(work, plan.residual, F(0.0), plan.outputs)
    for k in range(plan.classes):
        work[plan.residual + k] = work[out + k] - (F(1.0) if k == truth else F(0.0))
    share = F(0.5)
    if plan.regression == 1:
        work[plan.residual] = min(max(work[out] - target, -ERROR_MAX), ERROR_MAX)
        share = F(1.0)
    squares = F(0.0)
    for expert in range(plan.experts):
        x = plan.evidence + expert * plan.outputs
        pull = work[x] if plan.regression == 1 else dot(work, plan.residual, work, x, plan.outputs)
        work[plan.pull + expert] = pull
        squares += pull * pull
    step = min(rate * weight, STEP_MAX)
    step = step / (F(1.0) + share * step * squares)
    if plan.regression == 1:
        step *= work[plan.residual]
    length = weights_length(plan)
    add_scaled(memory, plan.expert_weight + m * length, -step, work, plan.pull, length)


@compiled
def trust(plan, memory, work, truth, target):
    """Trust each mixture by what it gave to the truth; keep a share of the trust equal."""
    fill(work, plan.pull, F(1.0), LANES)
    if plan.regression == 1:
        likelihoods(plan, memory, work, target)
    else:
        for m in range(MIXTURES):
            work[plan.pull + m] = work[plan.mixture + m * plan.outputs + truth] + MERIT_FLOOR
    if plan.kinds > 0:
        store(work, plan.residual, exp(splat(HANDICAP) * log(load(work, plan.pull))))
        work[plan.pull + FAST] *= work[plan.residual + FAST]
    summed = F(0.0)
    for m in range(MIXTURES):
        memory[plan.trust + m] *= work[plan.pull + m]
        summed += memory[plan.trust + m]
    for m in range(MIXTURES):
        share = memory[plan.trust + m] / summed
        memory[plan.trust + m] = (F(1.0) - SHARE) * share + SHARE / F(MIXTURES)


@compiled
def likelihoods(plan, memory, work, target):
    """Write into `pull` how likely each mixture made a regression's target."""
    mean_square = plan.trust + MIXTURES
    for m in range(MIXTURES):
        error = min(max(work[plan.mixture + m * plan.outputs] - target, -ERROR_MAX), ERROR_MAX)
        work[plan.pull + m] = error * error / (memory[mean_square] + ERROR_MIN)
    store(work, plan.pull, exp(splat(F(-0.5)) * load(work, plan.pull)) + splat(MERIT_FLOOR))
    error = min(max(work[plan.mixed] - target, -ERROR_MAX), ERROR_MAX)
    memory[mean_square] = ERROR_KEPT * memory[mean_square] + (F(1.0) - ERROR_KEPT) * error * error
