"""How much each dimension counts in the distance between events: how well it tells the labels apart.

Of a class: the share of the dimension's variance between the classes, less what chance would give; of a
target: the squared correlation. Weights are square roots of these shares around their mean, taken anew every
50 events from sums that fade by 1 % each time.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.lanes import LANES, larger, load, root, splat, store, total, where_positive
from hedge_model.kernel.rows import add_scaled

F = np.float32
EVERY = 50  # events
KEPT = F(0.99)
EVEN = F(0.1)  # share of the mean that every dimension has
FLOOR = F(1e-3)
VARIANCE_MIN = F(1e-12)


@compiled
def add_up(plan, memory, work, truth, target):
    """Add the event to the sums of its class, or to those of targets."""
    size = -(-plan.numbers // LANES) * LANES
    if plan.regression == 0:
        memory[plan.group_count + truth] += F(1.0)
        add_scaled(memory, plan.group_sum + truth * size, F(1.0), work, plan.point, size)
        return
    memory[plan.group_count] += F(1.0)
    memory[plan.group_count + 1] += target
    memory[plan.group_count + 2] += target * target
    add_scaled(memory, plan.group_sum, F(1.0), work, plan.point, size)
    add_scaled(memory, plan.group_sum + size, target, work, plan.point, size)
    for j in range(0, size, LANES):
        value, at = load(work, plan.point + j), plan.group_sum + 2 * size + j
        store(memory, at, load(memory, at) + value * value)


@compiled
def between_classes(plan, memory, j, size):
    """Variance between the classes of 16 dimensions from j on, less what chance would give."""
    events, mean = F(0.0), splat(F(0.0))
    for k in range(plan.classes):
        events += memory[plan.group_count + k]
        mean = mean + load(memory, plan.group_sum + k * size + j)
    mean, summed = mean / splat(events), splat(F(0.0))
    for k in range(plan.classes):
        count = memory[plan.group_count + k]
        if count > F(0.0):
            gap = load(memory, plan.group_sum + k * size + j) / splat(count) - mean
            summed = summed + splat(count) * gap * gap
    return larger((summed - splat(F(plan.classes))) / splat(events), splat(F(0.0)))


@compiled
def correlation(plan, memory, j, size):
    """Squared correlation of 16 dimensions from j on with the target, less what chance would give."""
    events = splat(memory[plan.group_count])
    mean_y = splat(memory[plan.group_count + 1]) / events
    variance_y = splat(memory[plan.group_count + 2]) / events - mean_y * mean_y
    mean = load(memory, plan.group_sum + j) / events
    both = load(memory, plan.group_sum + size + j) / events - mean * mean_y
    variances = (load(memory, plan.group_sum + 2 * size + j) / events - mean * mean) * variance_y
    share = both * both / larger(variances, splat(VARIANCE_MIN)) - splat(F(1.0)) / events
    return where_positive(variances - splat(VARIANCE_MIN), larger(share, splat(F(0.0))))


@compiled
def weigh(plan, memory, work):
    """New weights of the distance; the sums fade."""
    size = -(-plan.numbers // LANES) * LANES
    summed = splat(F(0.0))
    for j in range(0, size, LANES):
        if plan.regression == 1:
            share = correlation(plan, memory, j, size)
        else:
            share = between_classes(plan, memory, j, size)
        store(memory, plan.distance_weight + j, share)
        summed = summed + share
    mean = total(summed) / F(max(plan.numbers, 1))
    for j in range(0, size, LANES):
        share = load(memory, plan.distance_weight + j) + splat(EVEN * mean + FLOOR)
        store(memory, plan.distance_weight + j, root(share / splat(mean + EVEN * mean + FLOOR)))
    groups = 3 if plan.regression == 1 else plan.classes
    for k in range(groups):
        memory[plan.group_count + k] *= KEPT
        for j in range(0, size, LANES):
            at = plan.group_sum + k * size + j
            store(memory, at, splat(KEPT) * load(memory, at))
