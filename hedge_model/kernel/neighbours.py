"""The experts of the nearest events: how those among the last W that look most like this one were labelled.

An event is a point: its z-scores (more than 64 of them share 64 dimensions, with signs) and its categories.
The squared distance weighs each dimension by how well it tells the classes apart. The ring of points stands
dimension by dimension, so that 64 events at a time go through vector lanes, each in its own: no sum is
reordered. Of equal distances the lower slot counts as the nearer.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import (
    DISTANCE_MIN,
    KIND_GAP,
    NEIGHBOURS,
    POINT_NUMBERS_MAX,
    RECENT_EVENTS,
    RECENT_VOTERS,
    SIGN_PRIME,
    VOTE_PRIOR,
    VOTE_SPREAD,
    VOTE_WEIGHT,
    VOTERS,
)
from hedge_model.kernel.lanes import LANES, below, load, lowest_bit, splat, store, where_positive
from hedge_model.kernel.rows import fill

F = np.float32
FAR = F(3e38)  # farther than any event


@compiled
def place(plan, work, lists, active):
    """Write the event's point."""
    fill(work, plan.point, F(0.0), -(-plan.numbers // LANES) * LANES)
    for f in range(plan.fields):
        sign = F(1.0)
        if f >= POINT_NUMBERS_MAX and (((f * SIGN_PRIME) & 0xFFFFFFFF) >> 16) & 1 == 0:
            sign = F(-1.0)
        work[plan.point + f % POINT_NUMBERS_MAX] += sign * work[plan.z + f]
    for k in range(plan.kinds):
        row = lists[plan.category_list + k] if k < active else -1
        work[plan.kind_point + k] = F(row)


@compiled
def measure(plan, memory, work, filled):
    """Squared distances to the first `filled` slots (and to what pads them)."""
    for at in range(0, filled, 4 * LANES):
        s0 = s1 = s2 = s3 = splat(F(0.0))
        for d in range(plan.numbers):
            row = plan.ring + d * plan.stride + at
            value, weight = splat(work[plan.point + d]), splat(memory[plan.distance_weight + d])
            g0, g1 = value - load(memory, row), value - load(memory, row + LANES)
            g2, g3 = value - load(memory, row + 2 * LANES), value - load(memory, row + 3 * LANES)
            s0, s1 = s0 + weight * g0 * g0, s1 + weight * g1 * g1
            s2, s3 = s2 + weight * g2 * g2, s3 + weight * g3 * g3
        store(work, plan.distance + at, s0)
        store(work, plan.distance + at + LANES, s1)
        store(work, plan.distance + at + 2 * LANES, s2)
        store(work, plan.distance + at + 3 * LANES, s3)
    gap = splat(F(KIND_GAP))
    for k in range(plan.kinds):
        row, value = plan.ring + (plan.numbers + k) * plan.stride, splat(work[plan.kind_point + k])
        for at in range(0, filled, LANES):
            other = value - load(memory, row + at)
            differs = where_positive(other * other, gap)
            store(work, plan.distance + at, load(work, plan.distance + at) + differs)


@compiled
def merge(plan, work, lists, low, high, count):
    """Take slots low … high - 1 into the ascending list of the `count` nearest."""
    last = plan.near + count - 1
    for at in range(low - low % LANES, high, LANES):
        mask = below(load(work, plan.distance + at), splat(work[last]))
        while mask != 0:
            slot = at + lowest_bit(mask)
            mask &= mask - 1
            value = work[plan.distance + slot]
            if slot < low or slot >= high or not value < work[last]:
                continue
            k = count - 1
            while k > 0 and work[plan.near + k - 1] > value:
                work[plan.near + k] = work[plan.near + k - 1]
                lists[plan.near_list + k] = lists[plan.near_list + k - 1]
                k -= 1
            work[plan.near + k] = value
            lists[plan.near_list + k] = slot


@compiled
def vote(plan, memory, work, lists, count, out):
    """Write the votes of the `count` nearest for the classes, or their mean target."""
    share = F(VOTE_PRIOR) / F(plan.classes)
    for k in range(plan.classes):
        work[out + k] = F(0.0) if plan.regression == 1 else share
    summed, spread = F(VOTE_PRIOR), F(0.0)
    if count > 0:
        spread = F(VOTE_SPREAD) * work[plan.near + count - 1] + F(DISTANCE_MIN)
    for i in range(count):
        weight = F(VOTE_WEIGHT) * spread / (work[plan.near + i] + spread)
        label = memory[plan.ring_label + lists[plan.near_list + i]]
        if plan.regression == 1:
            work[out] += weight * label
        else:
            work[out + int(label)] += weight
        summed += weight
    for k in range(plan.classes):
        work[out + k] /= summed


@compiled
def ask(plan, memory, work, lists, active, learned, out):
    """Write what the nearest events say: of the whole window by 1, 4 and 16, of the last 250 by 4."""
    filled, slot = min(learned, plan.window), learned % plan.window
    place(plan, work, lists, active)
    measure(plan, memory, work, filled)
    fill(work, plan.near, FAR, NEIGHBOURS)
    merge(plan, work, lists, 0, filled, NEIGHBOURS)
    for voters in VOTERS:
        vote(plan, memory, work, lists, min(filled, voters), out)
        out += plan.outputs
    fill(work, plan.near, FAR, NEIGHBOURS)
    recent = min(filled, RECENT_EVENTS)
    merge(plan, work, lists, max(slot - recent, 0), slot, RECENT_VOTERS)
    if slot < recent:  # they begin at the end of the ring
        merge(plan, work, lists, plan.window - (recent - slot), plan.window, RECENT_VOTERS)
    vote(plan, memory, work, lists, min(recent, RECENT_VOTERS), out)


@compiled
def remember(plan, memory, work, learned, truth, target):
    """Put the event in the place of the oldest."""
    slot = learned % plan.window
    for d in range(plan.numbers):
        memory[plan.ring + d * plan.stride + slot] = work[plan.point + d]
    for k in range(plan.kinds):
        memory[plan.ring + (plan.numbers + k) * plan.stride + slot] = work[plan.kind_point + k]
    memory[plan.ring_label + slot] = target if plan.regression == 1 else F(truth)
