"""The linear expert: a logistic regression whose steps shrink (AdaGrad).

p = softmax(c + Σ_i z_i U_i + Σ_r T_r) over z-scores and active categories. Each weight moves by 0.02 times
its gradient over the root of the sum of its squared gradients so far (Duchi, Hazan & Singer, 2011); the bias
at a constant rate, so that it follows the base rate. Labels that come late, in another order than events,
harm steps that do not shrink.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.forward import LOGIT_NONE, softmax
from hedge_model.kernel.lanes import LANES, load, root, smaller, splat, store
from hedge_model.kernel.rows import dot

F = np.float32
RATE = F(0.02)
FLOOR = F(1e-10)
WEIGHT_MAX = F(50.0)  # an event's weight counts up to here: then its bias step is 1
ERROR_MAX = F(3.0)  # of a standardised target
SQUARES_MAX = F(1e30)  # keeps sums that never fade finite


@compiled
def predict_linear(plan, memory, table0, work, lists, active, out):
    """Write what the expert says."""
    size = -(-plan.fields // LANES) * LANES
    for k in range(plan.classes, plan.outputs):
        work[out + k] = LOGIT_NONE
    for k in range(plan.classes):
        work[out + k] = memory[plan.linear_bias + k] + dot(memory, plan.linear + k * size, work, plan.z, size)
    for a in range(active):
        row = lists[plan.category_list + a] * plan.table0_stride + plan.outputs
        for k in range(plan.classes):
            work[out + k] += table0[row + k]
    if plan.regression == 0:
        softmax(work, out, plan.outputs, plan.classes)


@compiled
def learn_linear(plan, memory, table0, work, lists, active, out, truth, target, weight):
    """Step its weights; `out` holds what it said."""
    size = -(-plan.fields // LANES) * LANES
    for k in range(plan.classes):
        error = work[out + k] - (F(1.0) if k == truth else F(0.0))
        if plan.regression == 1:
            error = min(max(work[out] - target, -ERROR_MAX), ERROR_MAX)
        error *= min(weight, WEIGHT_MAX)
        memory[plan.linear_bias + k] -= RATE * error
        for j in range(0, size, LANES):
            gradient = splat(error) * load(work, plan.z + j)
            at, at_square = plan.linear + k * size + j, plan.linear_square + k * size + j
            square = smaller(load(memory, at_square) + gradient * gradient, splat(SQUARES_MAX))
            store(memory, at_square, square)
            step = splat(RATE) * gradient / root(square + splat(FLOOR))
            store(memory, at, load(memory, at) - step)
        for a in range(active):
            at = lists[plan.category_list + a] * plan.table0_stride + plan.outputs + k
            at_square = at + plan.outputs
            table0[at_square] = min(table0[at_square] + error * error, SQUARES_MAX)
            table0[at] -= RATE * error / np.sqrt(table0[at_square] + FLOOR)
