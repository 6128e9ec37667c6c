"""Backward through the network and the step: first every gradient, then a check, then every write.

Nothing is written to the weights before all gradients are known to be finite, so an event whose update is not
can be passed over without a trace.
"""
# mypy: allow-untyped-defs

import numpy as np

from hedge_model.kernel.compiled import compiled
from hedge_model.kernel.definitions import ROW_FLOOR, ROW_RATE
from hedge_model.kernel.lanes import LANES, load, root, splat, store, total, where_positive
from hedge_model.kernel.rows import add_scaled, dot, dot_rows, fill, subtract_outer

F = np.float32
STEP_MAX = F(
    1e6
)  # a longer step of plain gradient descent counts as not finite: weights stay below 2**24 of it
FLOOR_SHARE = F(0.01)  # running mean squares are not taken smaller than this share of their layer's mean
FLOOR_MIN = F(1e-20)
HEAD_FLOOR = F(1e-8)
SQUARES_MAX = F(1e30)  # of a sum that never fades, so that it stays finite


@compiled
def errors(plan, work, truth, target, weight):
    """Gradient of each depth's loss by its logits (log-loss) or mean (half the square), times weight."""
    for depth in range(plan.heads):
        out, error = plan.output + depth * plan.outputs, plan.error + depth * plan.outputs
        for k in range(plan.classes):
            hit = F(1.0) if k == truth else F(0.0)
            if plan.regression == 1:
                hit = target
            work[error + k] = weight * (work[out + k] - hit)


@compiled
def head_share(plan, weights, depth):
    """Weight of one depth's loss in the gradient: α as published, else the same for all."""
    if plan.paper == 1:
        return weights[plan.alpha + depth]
    return F(1.0) / F(plan.heads)


@compiled
def layer_gradient(plan, weights, work, layer):
    """Gradient by one layer's sums, from its head and the layer above (`back`, `skip`); its square norm."""
    out, unit = plan.gradient + layer * plan.units, plan.unit + layer * plan.units
    error = plan.error + (layer + 1) * plan.outputs
    share = head_share(plan, weights, layer + 1)
    for j in range(0, plan.units, LANES):
        value = load(work, plan.back + j)
        for k in range(plan.classes):
            row = plan.head_kernel + (layer * plan.classes + k) * plan.units
            value = value + splat(share * work[error + k]) * load(weights, row + j)
        store(work, out + j, value)
    if plan.paper == 0:  # through h / rms(h), then along the sum of layers
        along = splat(dot(work, out, work, unit, plan.units) / F(plan.width))
        inverse = splat(F(1.0) / work[plan.rms + layer])
        for j in range(0, plan.units, LANES):
            value = (load(work, out + j) - load(work, unit + j) * along) * inverse + load(work, plan.skip + j)
            store(work, plan.skip + j, value)
            store(work, out + j, value)
    squares = splat(F(0.0))
    for j in range(0, plan.units, LANES):
        value = where_positive(load(work, plan.relu + layer * plan.units + j), load(work, out + j))
        store(work, out + j, value)
        squares = squares + value * value
    return total(squares)


@compiled
def gradients(plan, weights, work, lists):
    """Every layer's gradient; the sum of their square norms."""
    fill(work, plan.back, F(0.0), plan.units)
    fill(work, plan.skip, F(0.0), plan.units)
    norm = F(0.0)
    for layer in range(plan.depths - 1, -1, -1):
        norm += layer_gradient(plan, weights, work, layer)
        if layer > 0:
            fill(work, plan.back, F(0.0), plan.units)
            matrix = plan.hidden_kernel + (layer - 1) * plan.width * plan.units
            at, count = plan.layer_list + (layer - 1) * plan.units, lists[plan.lengths + layer]
            vector = plan.gradient + layer * plan.units
            dot_rows(weights, matrix, plan.units, lists, at, count, work, vector, plan.back)
    return norm


@compiled
def update_is_finite(plan, weights, work, active, norm, rate):
    """Whether every write of this event stays finite, from the norms of inputs and gradients."""
    dense = -(-plan.columns // LANES) * LANES
    inputs = dot(work, plan.x, work, plan.x, dense) + F(active) + F(1.0)
    for layer in range(plan.depths):
        unit = plan.unit + layer * plan.units
        inputs += dot(work, unit, work, unit, plan.units)
    for depth in range(plan.heads):
        share = head_share(plan, weights, depth)
        for k in range(plan.classes):
            error = share * work[plan.error + depth * plan.outputs + k]
            norm += error * error
    if plan.paper == 0:
        return norm + inputs < F(np.inf)
    return rate * np.sqrt(norm) * np.sqrt(inputs) <= STEP_MAX


@compiled
def head_step(plan, weights, work, depth, rates):
    """Turn one depth's errors into steps: published, rate · α · error; else scaled by their running RMS."""
    error = plan.error + depth * plan.outputs
    factor = head_share(plan, weights, depth)
    if plan.paper == 0:
        square = F(0.0)
        for k in range(plan.classes):
            square += work[error + k] * work[error + k]
        square *= factor * factor / F(plan.classes)
        kept = rates.kept * weights[plan.error_square + depth] + rates.new * square
        weights[plan.error_square + depth] = kept
        factor = factor / (np.sqrt(kept / rates.now) + HEAD_FLOOR)
    for k in range(plan.classes):
        work[error + k] *= rates.step * factor


@compiled
def update_head(plan, weights, table0, work, lists, active, depth):
    """Write one depth's classifier; `error` holds the steps."""
    error = plan.error + depth * plan.outputs
    if depth > 0:
        unit = plan.unit + (depth - 1) * plan.units
        for k in range(plan.classes):
            row = plan.head_kernel + ((depth - 1) * plan.classes + k) * plan.units
            add_scaled(weights, row, -work[error + k], work, unit, plan.units)
            weights[plan.head_bias + (depth - 1) * plan.outputs + k] -= work[error + k]
        return
    dense = -(-plan.columns // LANES) * LANES
    for k in range(plan.classes):
        add_scaled(weights, plan.head0_kernel + k * dense, -work[error + k], work, plan.x, dense)
        weights[plan.head0_bias + k] -= work[error + k]
    for a in range(active):
        row = lists[plan.category_list + a] * plan.table0_stride
        for k in range(plan.classes):
            table0[row + k] -= work[error + k]


@compiled
def mean_squares(plan, weights, at, work, values, rates):
    """Take `values` into the running mean squares at `at`; the floor under their roots."""
    kept, new = splat(rates.kept), splat(rates.new)
    summed = splat(F(0.0))
    for j in range(0, plan.units, LANES):
        value = load(work, values + j)
        square = kept * load(weights, at + j) + new * value * value
        store(weights, at + j, square)
        summed = summed + square
    return total(summed) / F(plan.width) * FLOOR_SHARE + FLOOR_MIN


@compiled
def scale(plan, weights, at, work, values, out, factor, floor, correction):
    """out = factor · values / root of their running mean squares."""
    floors, corrections, factors = splat(floor), splat(correction), splat(factor)
    for j in range(0, plan.units, LANES):
        spread = root((load(weights, at + j) + floors) / corrections)
        store(work, out + j, factors * load(work, values + j) / spread)


@compiled
def layer_step(plan, weights, work, layer, rates):
    """Factors of one layer's rank-one update: `step` over its units; returns where its inputs' are."""
    gradient, inputs = plan.gradient + layer * plan.units, plan.unit + (layer - 1) * plan.units
    if plan.paper == 1:
        for j in range(0, plan.units, LANES):
            store(work, plan.step + j, splat(rates.step) * load(work, gradient + j))
        return inputs
    at = plan.gradient_square + layer * plan.units
    floor = mean_squares(plan, weights, at, work, gradient, rates)
    scale(plan, weights, at, work, gradient, plan.step, rates.step, floor, rates.now)
    if layer > 0:
        at = plan.activation_square + (layer - 1) * plan.units
        floor = mean_squares(plan, weights, at, work, inputs, rates)
        scale(plan, weights, at, work, inputs, plan.scaled, F(1.0), floor, rates.now)
    return plan.scaled


@compiled
def update_rows(plan, table, work, lists, active):
    """Write the active categories' rows, each at a rate of its own (AdaGrad, one sum for a row)."""
    square = dot(work, plan.gradient, work, plan.gradient, plan.units) / F(plan.width)
    for a in range(active):
        at = lists[plan.category_list + a] * plan.table_stride + plan.units
        table[at] = min(table[at] + square, SQUARES_MAX)
    for a in range(active):
        row = lists[plan.category_list + a] * plan.table_stride
        rate = F(ROW_RATE) / np.sqrt(table[row + plan.units] + F(ROW_FLOOR))
        add_scaled(table, row, -rate, work, plan.gradient, plan.units)


@compiled
def update_layer(plan, weights, table, work, lists, active, layer, rates):
    """Write one layer: weights -= inputs ⊗ step, bias -= step."""
    inputs = layer_step(plan, weights, work, layer, rates)
    add_scaled(weights, plan.hidden_bias + layer * plan.units, F(-1.0), work, plan.step, plan.units)
    if layer > 0:
        matrix = plan.hidden_kernel + (layer - 1) * plan.width * plan.units
        at, count = plan.layer_list + (layer - 1) * plan.units, lists[plan.lengths + layer]
        subtract_outer(weights, matrix, plan.units, lists, at, count, work, inputs, plan.step)
        return
    count = lists[plan.lengths]
    subtract_outer(weights, plan.input_kernel, plan.units, lists, 0, count, work, plan.x, plan.step)
    if plan.adaptive_rows == 1:
        update_rows(plan, table, work, lists, active)
        return
    for a in range(active):
        row = lists[plan.category_list + a] * plan.table_stride
        add_scaled(table, row, F(-1.0), work, plan.step, plan.units)


@compiled
def update(plan, weights, table, table0, work, lists, active, rates):
    """Write every classifier and every layer."""
    for layer in range(plan.depths):
        update_layer(plan, weights, table, work, lists, active, layer, rates)
    for depth in range(plan.heads):
        head_step(plan, weights, work, depth, rates)
        update_head(plan, weights, table0, work, lists, active, depth)
