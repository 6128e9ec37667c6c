"""The numbers that compiled code needs about one model: its sizes, and where each array begins."""

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import FIELD_NUMBERS, HEAD_NUMBERS, NEIGHBOURS, RAMP_NUMBERS
from hedge_model.layout import BLOCK, LANES, MIXTURES, Layout, Memory, padded
from hedge_model.spec import ModelSpec


class Rates(NamedTuple):
    """How far one event moves things, as float32."""

    step: np.float32  # learning rate at this event
    kept: np.float32  # of running mean squares
    new: np.float32  # 1 - kept, rounded once
    before: np.float32  # 1 - decay ** n after n events: what running means that began at 0 have reached
    now: np.float32  # the same with the event at hand
    exponent: np.float32  # of the merits: -ln β
    s: np.float32  # share of the weights that is kept equal over the depths


class RowSizes(NamedTuple):
    """Sizes of the category tables."""

    stride: int  # length of a row of the first layer
    stride0: int  # … of depth 0 and of the linear expert
    active_max: int  # rows that one event can have


class Plan(NamedTuple):
    """Sizes and offsets; travels into compiled code as one array."""

    regression: int  # 1: squared loss on the standardised target; 0: softmax
    paper: int  # 1: the published arithmetic
    window: int  # events that the experts beside the depths remember; 0: there are none
    experts: int  # depths and the others
    depths: int  # hidden layers, L
    heads: int  # L + 1
    width: int  # H
    units: int  # H padded
    columns: int  # D, dense inputs
    classes: int  # C
    outputs: int  # C padded
    fields: int  # number fields
    ramps: int  # of one field
    ramped: int  # fields that have ramps
    categorical: int  # 1: categories decide, so slow steps
    adaptive_rows: int  # 1: each category's row of the first layer has a rate of its own
    table_stride: int  # length of a category's row of the first layer
    table0_stride: int  # … of depth 0 and of the linear expert
    numbers: int  # dimensions of a point that come from numbers
    kinds: int  # … from categories
    # in the buffer of weights (hedge_model.layout)
    alpha: int
    input_kernel: int
    hidden_kernel: int
    hidden_bias: int
    head_kernel: int
    head_bias: int
    head0_kernel: int
    head0_bias: int
    gradient_square: int
    activation_square: int
    error_square: int
    # in the buffer of the experts (hedge_model.layout)
    ring: int
    ring_kind: int
    ring_label: int
    distance_weight: int
    group_count: int
    group_sum: int
    last_count: int
    expert_weight: int
    trust: int
    linear: int
    linear_square: int
    linear_bias: int
    # in the working memory of float32: one event's values
    x: int  # [D] dense inputs
    relu: int  # [L, H] what each layer adds
    total: int  # [L, H] their running sums (default preset)
    unit: int  # [L, H] what each layer hands on
    gradient: int  # [L, H] of the loss by each layer's sums
    rms: int  # [L]
    output: int  # [E, C] probabilities or standardised means, depth 0 first, then the other experts
    error: int  # [L + 1, C] their gradients
    mixture: int  # [M, C] the mixtures of all experts
    mixed: int  # [C] the prediction
    merit: int  # [L + 1] what each depth gave to the truth
    back: int  # [H]
    skip: int  # [H]
    step: int  # [H]
    scaled: int  # [H]
    knots: int  # [16] where ramps begin
    z: int  # [fields] z-scores
    point: int  # [numbers] where the event stands among others
    kind_point: int  # [kinds] its category rows
    distance: int  # [W] to the remembered events
    near: int  # [16] the least distances, ascending
    near_slot: int  # [16] where those events stand
    evidence: int  # [E, C] centred logarithms of what the experts say, or what they say
    residual: int  # [C] the prediction less the truth
    pull: int  # [E] gradient by the experts' weights
    work_size: int
    # in the lists of rows to touch
    layer_list: int  # [L, H] active units of each layer, after the active columns at 0
    category_list: int  # active rows of the category table
    lengths: int  # [L + 1] active columns, then active units of each layer
    list_size: int

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        layout: Layout,
        memory: Memory,
        fields: int,
        ramped: int,
        rows: RowSizes,
        categorical: bool,
    ) -> Self:
        """The plan of a model with `fields` number fields, `ramped` of which have ramps; `categorical`: where
        categories decide."""
        depths = layout.hidden_layers
        work = _work(layout, memory, fields)
        lists = _lists(layout, rows)
        return cls(
            regression=int(spec.task == "regression"),
            paper=int(spec.preset == "paper"),
            window=memory.window,
            experts=memory.experts,
            depths=depths,
            heads=depths + 1,
            width=layout.width,
            units=padded(layout.width),
            columns=layout.columns,
            classes=layout.classes,
            outputs=padded(layout.classes),
            fields=fields,
            ramps=spec.ramps,
            ramped=ramped,
            categorical=int(categorical),
            adaptive_rows=int(spec.preset == "default"),
            table_stride=rows.stride,
            table0_stride=rows.stride0,
            numbers=memory.numbers,
            kinds=memory.kinds,
            **{name: slot.offset for name, slot in (layout.slots | memory.slots).items()},
            **{name: offset for name, offset in work.items() if name != "size"},
            work_size=work["size"],
            **{name: offset for name, offset in lists.items() if name not in ("_columns", "size")},
            list_size=lists["size"],
        )

    @property
    def moments_size(self) -> int:
        """Length of the array of running means and variances."""
        return HEAD_NUMBERS + self.fields * FIELD_NUMBERS + self.ramped * RAMP_NUMBERS

    def array(self) -> npt.NDArray[np.int64]:
        """The plan as compiled code takes it."""
        return np.array(self, np.int64)


def _work(layout: Layout, memory: Memory, fields: int) -> dict[str, int]:
    """Where each array of the step's work begins, in floats."""
    depths, units, outputs = layout.hidden_layers, padded(layout.width), padded(layout.classes)
    experts = memory.experts
    return _offsets(
        x=padded(layout.columns),
        relu=depths * units,
        total=depths * units,
        unit=depths * units,
        gradient=depths * units,
        rms=padded(depths),
        output=experts * outputs,
        error=(depths + 1) * outputs,
        mixture=MIXTURES * outputs,
        mixed=outputs,
        merit=padded(depths + 1),
        back=units,
        skip=units,
        step=units,
        scaled=units,
        knots=LANES,
        z=padded(fields),
        point=padded(memory.numbers),
        kind_point=padded(memory.kinds),
        distance=memory.blocks * BLOCK,
        near=padded(NEIGHBOURS),
        near_slot=padded(NEIGHBOURS),
        evidence=experts * outputs,
        residual=outputs,
        pull=padded(experts),
    )


def _lists(layout: Layout, rows: RowSizes) -> dict[str, int]:
    """Where each list of the step begins, in whole numbers."""
    return _offsets(
        _columns=padded(layout.columns),
        layer_list=layout.hidden_layers * padded(layout.width),
        category_list=rows.active_max,
        lengths=layout.hidden_layers + 1,
    )


def _offsets(**lengths: int) -> dict[str, int]:
    """Name -> where it begins when all stand one after the other, and `size`."""
    offsets, at = {}, 0
    for name, length in lengths.items():
        offsets[name] = at
        at += length
    return {**offsets, "size": at}
