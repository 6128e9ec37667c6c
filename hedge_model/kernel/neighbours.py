"""The experts of the nearest events: how those among the last W that look most like this one were labelled.

An event is a point: its z-scores (more than 64 of them share 64 dimensions, with signs) and its categories.
The squared distance weighs each dimension by how well it tells the classes apart. 64 events at a time go
through vector lanes, each in its own: no sum is reordered. Of equal distances the lower slot counts as the
nearer. The list of the nearest is 16 lanes: a new one pushes those behind it one lane on.
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
from hedge_model.kernel.lanes import (
    LANES,
    below,
    larger,
    load,
    lowest_bit,
    pushed,
    smaller,
    splat,
    store,
    where_less,
    where_positive,
)
from hedge_model.kernel.rows import fill
from hedge_model.layout import BLOCK

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
    row = plan.ring
    for at in range(0, filled, BLOCK):
        s0 = s1 = s2 = s3 = splat(F(0.0))
        for d in range(plan.numbers):
            value, weight = splat(work[plan.point + d]), splat(memory[plan.distance_weight + d])
            g0, g1 = value - load(memory, row), value - load(memory, row + LANES)
            g2, g3 = value - load(memory, row + 2 * LANES), value - load(memory, row + 3 * LANES)
            s0, s1 = s0 + weight * g0 * g0, s1 + weight * g1 * g1
            s2, s3 = s2 + weight * g2 * g2, s3 + weight * g3 * g3
            row += BLOCK
        store(work, plan.distance + at, s0)
        store(work, plan.distance + at + LANES, s1)
        store(work, plan.distance + at + 2 * LANES, s2)
        store(work, plan.distance + at + 3 * LANES, s3)


@compiled
def measure_kinds(plan, memory, work, filled):
    """Add to the distances for every category that differs."""
    gap, row = splat(F(KIND_GAP)), plan.ring_kind
    for at in range(0, filled, BLOCK):
        for k in range(plan.kinds):
            value = splat(work[plan.kind_point + k])
            for lane in range(0, BLOCK, LANES):
                other = value - load(memory, row + lane)
                distance = load(work, plan.distance + at + lane)
                store(work, plan.distance + at + lane, distance + where_positive(other * other, gap))
            row += BLOCK


@compiled
def merge(plan, work, low, high, count):
    """Take slots low … high - 1 into the list of the nearest, ascending; the `count` first of it count."""
    near, slots = load(work, plan.near), load(work, plan.near_slot)
    last = work[plan.near + count - 1]
    for at in range(low - low % LANES, high, LANES):
        mask = below(load(work, plan.distance + at), splat(last))
        while mask != 0:
            slot = at + lowest_bit(mask)
            mask &= mask - 1
            value = work[plan.distance + slot]
            if low <= slot < high and value < last:
                distance, before = splat(value), pushed(near, F(0.0))
                slots = where_less(
                    distance, near, where_less(distance, before, pushed(slots, F(0.0)), splat(F(slot))), slots
                )
                near = larger(before, smaller(near, distance))
                store(work, plan.near, near)
                last = work[plan.near + count - 1]
    store(work, plan.near_slot, slots)


@compiled
def vote(plan, memory, work, count, out):
    """Write the votes of the `count` nearest for the classes, or their mean target."""
    share = F(VOTE_PRIOR) / F(plan.classes)
    for k in range(plan.classes):
        work[out + k] = F(0.0) if plan.regression == 1 else share
    summed, spread = F(VOTE_PRIOR), F(0.0)
    if count > 0:
        spread = F(VOTE_SPREAD) * work[plan.near + count - 1] + F(DISTANCE_MIN)
    for i in range(count):
        weight = F(VOTE_WEIGHT) * spread / (work[plan.near + i] + spread)
        label = memory[plan.ring_label + int(work[plan.near_slot + i])]
        if plan.regression == 1:
            work[out] += weight * label
        else:
            work[out + int(label)] += weight
        summed += weight
    for k in range(plan.classes):
        work[out + k] /= summed


@compiled
def ask(plan, memory, work, lists, active, learned, out):
    """Write what the 1, 4 and 16 nearest events of the whole window say."""
    filled = min(learned, plan.window)
    place(plan, work, lists, active)
    measure(plan, memory, work, filled)
    if plan.kinds > 0:
        measure_kinds(plan, memory, work, filled)
    fill(work, plan.near, FAR, NEIGHBOURS)
    merge(plan, work, 0, filled, NEIGHBOURS)
    for voters in VOTERS:
        vote(plan, memory, work, min(filled, voters), out)
        out += plan.outputs


@compiled
def ask_recent(plan, memory, work, learned, out):
    """Write what the 4 nearest of the last 250 events say, by the distances that `ask` has taken."""
    slot = learned % plan.window
    fill(work, plan.near, FAR, NEIGHBOURS)
    recent = min(learned, RECENT_EVENTS)
    merge(plan, work, max(slot - recent, 0), slot, RECENT_VOTERS)
    if slot < recent:  # they begin at the end of the ring
        merge(plan, work, plan.window - (recent - slot), plan.window, RECENT_VOTERS)
    vote(plan, memory, work, min(recent, RECENT_VOTERS), out)


@compiled
def remember(plan, memory, work, learned, truth, target):
    """Put the event in the place of the oldest."""
    slot = learned % plan.window
    block, lane = slot // BLOCK, slot % BLOCK
    for d in range(plan.numbers):
        memory[plan.ring + (block * plan.numbers + d) * BLOCK + lane] = work[plan.point + d]
    for k in range(plan.kinds):
        memory[plan.ring_kind + (block * plan.kinds + k) * BLOCK + lane] = work[plan.kind_point + k]
    memory[plan.ring_label + slot] = target if plan.regression == 1 else F(truth)
