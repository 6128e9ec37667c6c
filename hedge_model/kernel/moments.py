"""From an event's numbers to the dense inputs: running z-scores, ramps, missing indicators.

Every input is standardised by means and variances that include the event itself (Welford, float64). The new
moments go to `fresh`: learning takes them over, predicting forgets them.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import (
    FIELD_NUMBERS,
    HEAD_NUMBERS,
    RAMP_NUMBERS,
    RAMP_VARIANCE_MIN,
    RAMPS_FROM,
    RAMPS_TO,
    SPREAD_MIN,
    VALUE_MAX,
    VARIANCE_MIN,
    Z_MAX,
)
from hedge_model.kernel.lanes import (
    LANES,
    larger,
    load,
    narrow,
    root,
    smaller,
    splat,
    store,
    where_positive,
    widen,
)
from hedge_model.kernel.places import list_not_zero
from hedge_model.kernel.rows import copy

F = np.float32


@compiled
def standardise(moments, fresh, at, share, value):
    """The z-score of `value` under the moments at `at` (mean, variance) updated by it."""
    gap = value - moments[at]
    mean = moments[at] + share * gap
    variance = (1.0 - share) * (moments[at + 1] + share * gap * gap)
    fresh[at], fresh[at + 1] = mean, variance
    if not variance > SPREAD_MIN * mean * mean + VARIANCE_MIN:
        return 0.0
    return min(max((value - mean) / np.sqrt(variance), -Z_MAX), Z_MAX)


@compiled
def standardise_ramps(plan, moments, fresh, at, share, z, work, out):
    """Ramps of a z-score at 16 knots, clipped to 0 … 1, each standardised like a field of its own."""
    spacing = F((RAMPS_TO - RAMPS_FROM) / plan.ramps)
    ramp = (splat(z) - load(work, plan.knots)) / splat(spacing)
    ramp = smaller(larger(ramp, splat(F(0.0))), splat(F(1.0)))
    part = splat(share)
    mean = load(moments, at)
    gap = widen(ramp) - mean
    mean = mean + part * gap
    variance = (splat(1.0) - part) * (load(moments, at + LANES) + part * gap * gap)
    store(fresh, at, mean)
    store(fresh, at + LANES, variance)
    spread = narrow(variance)
    floor = splat(F(RAMP_VARIANCE_MIN))
    score = narrow(widen(ramp) - mean) / root(larger(spread, floor))
    score = where_positive(spread - floor, smaller(larger(score, splat(F(-Z_MAX))), splat(F(Z_MAX))))
    if plan.ramps == LANES:
        store(work, out, score)
    else:
        store(work, plan.step, score)  # a scratch vector: the next columns are not these lanes' to write
        for k in range(plan.ramps):
            work[out + k] = work[plan.step + k]


@compiled
def encode(plan, fields, values, moments, fresh, work, lists):
    """Fill the dense inputs and the list of those that are not zero; NaN is a missing value.

    Returns how many values were there (-1 if one is infinite), and whether a missing one needs an indicator
    column that does not exist yet.
    """
    present, waiting = 0, False
    for f in range(plan.fields):
        at = HEAD_NUMBERS + f * FIELD_NUMBERS
        column, ramp, missing = fields[4 * f], fields[4 * f + 1], fields[4 * f + 2]
        ramp_at = HEAD_NUMBERS + plan.fields * FIELD_NUMBERS + ramp * RAMP_NUMBERS
        value = values[f]
        gone = value != value
        if missing >= 0:
            work[plan.x + missing] = F(1.0) if gone else F(0.0)
        if gone:
            waiting = waiting or missing < 0
            for k in range(FIELD_NUMBERS):
                fresh[at + k] = moments[at + k]
            work[plan.x + column] = F(0.0)
            work[plan.z + f] = F(0.0)
            if ramp >= 0:
                copy(fresh, ramp_at, moments, ramp_at, RAMP_NUMBERS)
                for k in range(plan.ramps):
                    work[plan.x + column + 1 + k] = F(0.0)
            continue
        if value - value != 0.0:
            return -1, False
        present += 1
        count = moments[at] + 1.0
        fresh[at] = count
        share = 1.0 / count
        z = F(standardise(moments, fresh, at + 1, share, min(max(value, -VALUE_MAX), VALUE_MAX)))
        work[plan.z + f] = z
        if ramp >= 0:
            standardise_ramps(plan, moments, fresh, ramp_at, share, z, work, plan.x + column + 1)
            z = F(standardise(moments, fresh, at + 3, share, float(z)))
        work[plan.x + column] = z
    dense = -(-plan.columns // LANES) * LANES
    lists[plan.lengths] = list_not_zero(lists, 0, work, plan.x, dense)
    return present, waiting
