"""The compiled fold: events in, predictions out, one strict order of arithmetic.

`fold` takes events one after the other. For each: encode → forward → hand out the prediction → (when
learning) gradients → check that all of it is finite → step → reweigh the depths. Where experts beside the
depths have a say, they are asked before the prediction and taught after it. It stops early, before
changing anything, at an event that first needs a new input column or a new class, which Python adds.
"""
# mypy: allow-untyped-defs

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from hedge_model.kernel.backward import errors, gradients, update, update_is_finite
from hedge_model.kernel.compiled import compiled, entry
from hedge_model.kernel.definitions import CATEGORICAL_RATE, DECAYED, FAST_START_EVENTS, LEARNED
from hedge_model.kernel.experts import consult, teach
from hedge_model.kernel.float_mode import IEEE, swap_float_mode
from hedge_model.kernel.forward import forward, mix
from hedge_model.kernel.hedge import judge, reweigh
from hedge_model.kernel.initial import fill_row
from hedge_model.kernel.moments import encode, standardise
from hedge_model.kernel.plan import Plan, Rates

REVISION = 5  # of the arithmetic: raise it with every change that can change a bit

# what `fold` reports besides how many events it took
DONE, NOT_FINITE, NEEDS_COLUMN, NEEDS_CLASS = 0, 1, 2, 3
# what `fold` shall do
PREDICT, LEARN, BOTH = 1, 2, 3

_PLAN_LENGTH = len(Plan._fields)
F = np.float32


@compiled
def materialise(plan, table, touched, lists, active, table_key, table_limit):
    """Give category rows that nobody has learned yet their initial weights."""
    for k in range(active):
        row = lists[plan.category_list + k]
        if touched[row] == 0:
            if plan.depths > 0:
                fill_row(table, row * plan.table_stride, plan.width, table_key, row, table_limit)
            touched[row] = 1


@compiled
def output(plan, work, moments, out):
    """The prediction in the units of the label."""
    for k in range(plan.classes):
        out[k] = work[plan.mixed + k]
    if plan.regression == 1:
        out[0] = moments[1] + np.sqrt(moments[2]) * out[0]


@compiled
def standard_target(plan, moments, fresh, label):
    """A regression's label as z-score that includes it."""
    if plan.regression == 0:
        return F(0.0)
    fresh[0] = moments[0] + 1.0
    return F(standardise(moments, fresh, 1, 1.0 / fresh[0], min(max(label, -1e100), 1e100)))


@compiled
def rates_of(plan, settings, moments, fresh):
    """The event's rates; counts the event in `fresh`."""
    longer = 1.0 + settings[4] / (1.0 + moments[LEARNED] / FAST_START_EVENTS)
    if plan.categorical == 1:
        longer = CATEGORICAL_RATE
    fresh[DECAYED] = moments[DECAYED] * settings[1]
    fresh[LEARNED] = moments[LEARNED] + 1.0
    return Rates(
        F(settings[0] * longer),
        F(settings[1]),
        F(1.0 - settings[1]),
        F(1.0 - moments[DECAYED]),
        F(1.0 - fresh[DECAYED]),
        F(settings[2]),
        F(settings[3]),
    )


@compiled
def learn(plan, learned, moments, fresh, work, lists, active, label, weight, settings, sound):
    """Learn the event that was just predicted; False, and nothing changed, if the update is not finite."""
    weights, memory, table, table0, touched = learned
    rates = rates_of(plan, settings, moments, fresh)
    truth = 0 if plan.regression == 1 else int(label)
    target = standard_target(plan, moments, fresh, label)
    errors(plan, work, truth, target, F(weight))
    norm = gradients(plan, weights, work, lists)
    if not sound or not update_is_finite(plan, weights, work, active, norm, rates.step):
        return False
    if plan.window > 0:
        teach(plan, memory, table0, moments, fresh, work, lists, active, truth, target, F(weight))
    judge(plan, weights, work, truth, target, rates)
    update(plan, weights, table, table0, work, lists, active, rates)
    reweigh(plan, weights, work, rates)
    for k in range(active):
        touched[lists[plan.category_list + k]] = 2
    for k in range(fresh.size):
        moments[k] = fresh[k]
    return True


@entry
def fold(
    task,  # PREDICT | LEARN
    plan_array,  # int64, Plan
    settings,  # float64: learning rate, decay, exponent of the merits, s, fast start
    weights,  # float32 buffer (hedge_model.layout)
    memory,  # float32 buffer of the experts
    table,  # float32 [rows, H padded], first-layer rows of categories
    table0,  # float32 [rows, C padded], depth 0's
    touched,  # uint8 [rows]: 0 never made, 1 made, 2 learned
    table_key,  # uint64, of the rows' initial weights
    table_limit,  # float32, their range
    moments,  # float64 running means and variances
    fresh,  # float64, the same with the current event
    work,  # float32 working memory
    lists,  # int64 rows to touch; category rows stand in it already
    active,  # number of category rows
    fields,  # int64 [fields, 4]: column, ramp row or -1, missing indicator or -1, column of `events` or -1
    events,  # float64 [n, …] numbers, NaN where missing
    present,  # how many numbers must be there, -1 if unknown
    labels,  # float64 [n] class index, or target
    event_weights,  # float64 [n]
    out,  # float64 [n, C] predictions
):
    """Fold events; returns (events taken, DONE or why it stopped, how many updates were not finite)."""
    found = swap_float_mode(np.uint32(IEEE))
    plan = Plan(*to_fixed_tuple(plan_array, _PLAN_LENGTH))
    values, learned = np.empty(plan.fields), (weights, memory, table, table0, touched)
    materialise(plan, table, touched, lists, active, table_key, table_limit)
    reason, not_finite, taken = DONE, 0, 0
    while taken < events.shape[0]:
        if task & LEARN and plan.regression == 0 and labels[taken] >= plan.classes:
            reason = NEEDS_CLASS
            break
        for f in range(plan.fields):
            source = fields[4 * f + 3]
            values[f] = events[taken, source] if source >= 0 else np.nan
        count, waiting = encode(plan, fields, values, moments, fresh, work, lists)
        if count < 0 or (present >= 0 and count != present):
            reason = NOT_FINITE
            break
        if waiting and task & LEARN:
            reason = NEEDS_COLUMN
            break
        sound = forward(plan, weights, table, table0, work, lists, active)
        if plan.window > 0:
            consult(plan, memory, table0, moments, work, lists, active)
        else:
            mix(plan, weights, work)
        if task & PREDICT:
            output(plan, work, moments, out[taken])
        if task & LEARN:
            label, weight = labels[taken], event_weights[taken]
            done = learn(plan, learned, moments, fresh, work, lists, active, label, weight, settings, sound)
            not_finite += 0 if done else 1
        taken += 1
    swap_float_mode(found)
    return taken, reason, not_finite
