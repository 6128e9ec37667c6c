"""Forward through the network: layers, a classifier at every depth, and their mixture by `alpha`.

Default: h_l = h_{l-1} + relu(W_l u_{l-1} + b_l), u_l = h_l / rms(h_l), a softmax on each u_l.
Paper: u_l = relu(W_l u_{l-1} + b_l). Depth 0 is linear on the inputs in both.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import RMS_FLOOR
from hedge_model.kernel.elementary import exp
from hedge_model.kernel.lanes import LANES, larger, load, splat, store, total
from hedge_model.kernel.places import above_zero, list_mask
from hedge_model.kernel.rows import add_rows, add_scaled, copy, dot

F = np.float32
LOGIT_NONE = F(-1e30)  # in the padding of outputs: no probability


@compiled
def layer_sums(plan, weights, table, work, lists, active, layer):
    """W u + b of one layer (0 is the first) into `relu`, before the rectifier."""
    out = plan.relu + layer * plan.units
    copy(work, out, weights, plan.hidden_bias + layer * plan.units, plan.units)
    if layer > 0:
        matrix = plan.hidden_kernel + (layer - 1) * plan.width * plan.units
        at, count = plan.layer_list + (layer - 1) * plan.units, lists[plan.lengths + layer]
        add_rows(
            weights, matrix, plan.units, lists, at, count, work, plan.unit + (layer - 1) * plan.units, out
        )
        return
    add_rows(weights, plan.input_kernel, plan.units, lists, 0, lists[plan.lengths], work, plan.x, out)
    for k in range(active):
        row = lists[plan.category_list + k]
        add_scaled(work, out, F(1.0), table, row * plan.table_stride, plan.units)


@compiled
def layer_units(plan, work, lists, layer):
    """Rectify, add to the running sum, normalise; list the units that are on."""
    relu = plan.relu + layer * plan.units
    running, unit = plan.total + layer * plan.units, plan.unit + layer * plan.units
    at = end = plan.layer_list + layer * plan.units
    squares = splat(F(0.0))
    for j in range(0, plan.units, LANES):
        value = larger(load(work, relu + j), splat(F(0.0)))
        store(work, relu + j, value)
        if plan.paper == 1:
            store(work, unit + j, value)
            end = list_mask(lists, end, j, above_zero(value))
            continue
        if layer > 0:
            value = value + load(work, running - plan.units + j)
        store(work, running + j, value)
        squares = squares + value * value
    if plan.paper == 1:
        lists[plan.lengths + 1 + layer] = end - at
        return
    rms = np.sqrt(total(squares) / F(plan.width) + F(RMS_FLOOR))
    work[plan.rms + layer] = rms
    for j in range(0, plan.units, LANES):
        value = load(work, running + j) / splat(rms)
        store(work, unit + j, value)
        end = list_mask(lists, end, j, above_zero(value))
    lists[plan.lengths + 1 + layer] = end - at


@compiled
def softmax(work, at, outputs, classes):
    """Logits to probabilities in place; False, and the uniform ones, if a logit is not finite."""
    highest, off = work[at], F(0.0)
    for k in range(classes):
        highest = max(highest, work[at + k])
        off += work[at + k] - work[at + k]
    if off != F(0.0):
        for k in range(classes):
            work[at + k] = F(1.0) / F(classes)
        return False
    summed = F(0.0)
    for j in range(0, outputs, LANES):
        store(work, at + j, exp(load(work, at + j) - splat(highest)))
    for k in range(classes):
        summed += work[at + k]
    for k in range(classes):
        work[at + k] /= summed
    return True


@compiled
def depth_output(plan, weights, table0, work, lists, active, depth):
    """Probabilities (or the standardised mean) of one depth; False if they had to be replaced."""
    out = plan.output + depth * plan.outputs
    for k in range(plan.classes, plan.outputs):
        work[out + k] = LOGIT_NONE
    if depth == 0:
        dense = -(-plan.columns // LANES) * LANES
        for k in range(plan.classes):
            row = plan.head0_kernel + k * dense
            work[out + k] = weights[plan.head0_bias + k] + dot(weights, row, work, plan.x, dense)
        for a in range(active):
            row = lists[plan.category_list + a] * plan.table0_stride
            for k in range(plan.classes):
                work[out + k] += table0[row + k]
    else:
        unit = plan.unit + (depth - 1) * plan.units
        for k in range(plan.classes):
            row = plan.head_kernel + ((depth - 1) * plan.classes + k) * plan.units
            bias = weights[plan.head_bias + (depth - 1) * plan.outputs + k]
            work[out + k] = bias + dot(weights, row, work, unit, plan.units)
    if plan.regression == 0:
        return softmax(work, out, plan.outputs, plan.classes)
    if work[out] - work[out] != F(0.0):
        work[out] = F(0.0)
        return False
    return True


@compiled
def mix(plan, weights, work):
    """The depths' mixture by `alpha`."""
    for k in range(plan.outputs):
        work[plan.mixed + k] = F(0.0)
    for depth in range(plan.heads):
        out, share = plan.output + depth * plan.outputs, weights[plan.alpha + depth]
        for k in range(plan.classes):
            work[plan.mixed + k] += share * work[out + k]


@compiled
def forward(plan, weights, table, table0, work, lists, active):
    """Every depth's output; False if some depth was not finite."""
    sound = True
    for layer in range(plan.depths):
        layer_sums(plan, weights, table, work, lists, active, layer)
        layer_units(plan, work, lists, layer)
    for depth in range(plan.heads):
        sound = depth_output(plan, weights, table0, work, lists, active, depth) and sound
    return sound
