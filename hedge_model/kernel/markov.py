"""The expert of the last label: what has followed it, lately.

p(k) = (count[last, k] + 1 / C) / (Σ count[last] + 1); the counts of a label fade by 1 % each time it was the
last one. A regression's is the last target itself.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import LAST_LABEL
from hedge_model.kernel.lanes import LANES, load, splat, store

F = np.float32
KEPT = F(0.99)


@compiled
def follow(plan, memory, moments, work, out):
    """Write what the last label lets expect."""
    if plan.regression == 1:
        work[out] = F(moments[LAST_LABEL])
        return
    last = int(moments[LAST_LABEL]) - 1
    row, summed = plan.last_count + last * plan.outputs, F(1.0)
    share = F(1.0) / F(plan.classes)
    if last >= 0:
        for k in range(plan.classes):
            summed += memory[row + k]
    for k in range(plan.classes):
        work[out + k] = (memory[row + k] + share) / summed if last >= 0 else share


@compiled
def count_label(plan, memory, moments, fresh, truth, target):
    """Count that `truth` followed the last label, and make it the last one."""
    if plan.regression == 1:
        fresh[LAST_LABEL] = target
        return
    last = int(moments[LAST_LABEL]) - 1
    fresh[LAST_LABEL] = truth + 1
    if last >= 0:
        row = plan.last_count + last * plan.outputs
        for j in range(0, plan.outputs, LANES):
            store(memory, row + j, splat(KEPT) * load(memory, row + j))
        memory[row + truth] += F(1.0)
