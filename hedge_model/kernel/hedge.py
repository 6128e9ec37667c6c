"""The weights of the depths: which depth has predicted well lately.

Default: v_l ← v_l · (p_l + 1e-4), then a fixed share of s is spread evenly (Herbster & Warmuth, 1998): a
Bayes mixture that can change its mind. Paper: α_l ← α_l · β**loss_l, floored at s / (L + 1), normalised
(Sahoo et al., 2018). Both are α_l · (p_l + ε)**(-ln β), since loss = -ln p. Regression has no p: its place is
taken by exp(-e² / 2σ²) with the error e of the depth; σ² is the least running mean square error among the
depths (default) or 1 (paper).
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.elementary import exp, log
from hedge_model.kernel.lanes import LANES, load, splat, store

F = np.float32
MERIT_FLOOR = F(1e-4)  # default preset: one bad event costs a depth at most this factor
MERIT_FLOOR_PAPER = F(1e-7)  # keeps the published loss finite


@compiled
def least_error(plan, weights, rates):
    """Least running mean square error among the depths, 0 before the first event."""
    if rates.before <= F(0.0):
        return F(0.0)
    least = weights[plan.error_square]
    for depth in range(plan.heads):
        least = min(least, weights[plan.error_square + depth])
    return least * F(plan.heads) * F(plan.heads) / rates.before


@compiled
def judge(plan, weights, work, truth, target, rates):
    """Write each depth's merit: the probability it gave to the truth, before it learns from it."""
    padded = -(-plan.heads // LANES) * LANES
    for depth in range(padded):
        work[plan.merit + depth] = F(1.0)
    for depth in range(plan.heads):
        if plan.regression == 0:
            work[plan.merit + depth] = work[plan.output + depth * plan.outputs + truth]
        else:
            gap = work[plan.output + depth * plan.outputs] - target
            work[plan.merit + depth] = gap * gap
    if plan.regression == 0:
        return
    spread = F(1.0) if plan.paper == 1 else least_error(plan, weights, rates)
    for j in range(0, padded, LANES):
        if spread > F(1e-12):
            square = load(work, plan.merit + j)
            store(work, plan.merit + j, exp(splat(F(-0.5)) * square / splat(spread)))
        else:
            store(work, plan.merit + j, splat(F(1.0)))


@compiled
def powers(plan, work, exponent):
    """merit ← merit**exponent; in the default preset of the merit as a share of the best."""
    best = F(1.0)  # as published, the floor acts on the plain product
    if plan.paper == 0:
        best = work[plan.merit]
        for depth in range(plan.heads):
            best = max(best, work[plan.merit + depth])
    for j in range(0, -(-plan.heads // LANES) * LANES, LANES):
        ratio = log(load(work, plan.merit + j)) - log(splat(best))
        store(work, plan.merit + j, exp(splat(exponent) * ratio))


@compiled
def reweigh(plan, weights, work, rates):
    """Multiply the weights by the merits; keep each above its floor and their sum at 1."""
    epsilon = MERIT_FLOOR_PAPER if plan.paper == 1 else MERIT_FLOOR
    for depth in range(plan.heads):
        work[plan.merit + depth] += epsilon
    if rates.exponent != F(1.0):
        powers(plan, work, rates.exponent)
    summed, even = F(0.0), rates.s / F(plan.heads)
    for depth in range(plan.heads):
        value = weights[plan.alpha + depth] * work[plan.merit + depth]
        if plan.paper == 1:
            value = max(value, even)
        weights[plan.alpha + depth] = value
        summed += value
    for depth in range(plan.heads):
        value = weights[plan.alpha + depth] / summed
        if plan.paper == 0:
            value = (F(1.0) - rates.s) * value + even
        weights[plan.alpha + depth] = value
