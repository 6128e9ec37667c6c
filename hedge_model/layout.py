"""Where everything of a learner stands in two flat float32 buffers: the network's and the experts'.

Rows of units are padded to 16 lanes with zeros that stay zero, so that loops run over whole vectors and sums
have one order on every machine. `Layout` has the weights and what the optimiser and the hedge keep; `Memory`
the last events and what is known of them. Rows of hashed categories stand apart, since most of them are never
touched.

>>> layout = Layout(hidden_layers=2, width=20, columns=3, classes=2)
>>> layout.shapes["hidden_kernel"], layout.shapes["head_kernel"]
((1, 20, 32), (2, 2, 32))
>>> buffer = layout.allocate()
>>> views = layout.views(buffer)
>>> views["head_kernel"][1, 0, :20] = 1.0
>>> weights = unpadded(layout, views)
>>> weights["head_2/kernel"].shape, float(weights["head_2/kernel"].sum())
((20, 2), 20.0)
"""

from abc import ABC, abstractmethod
from ctypes import addressof, c_char
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

LANES = 16  # float32 numbers in the widest vector (AVX-512)
CACHE_LINE_BYTES = 64
BLOCK = 4 * LANES  # events whose distances are taken side by side
MIXTURES = 2  # of all experts: a fast one and a slow one
TARGET_SUMS = 3  # of a regression: Σ 1, Σ y, Σ y²

Floats: TypeAlias = npt.NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]


def padded(length: int) -> int:
    """`length` rounded up to whole vectors of lanes.

    >>> padded(100), padded(0)
    (112, 0)
    """
    return -(-length // LANES) * LANES


def aligned(length: int, zeroed: bool = True) -> Floats:
    """An array that starts at a cache line, so that no vector of lanes in it lies across two."""
    raw = (np.zeros if zeroed else np.empty)(length + LANES, np.float32)
    skip = (-addressof(c_char.from_buffer(raw.data)) % CACHE_LINE_BYTES) // raw.itemsize
    return raw[skip : skip + length]


@dataclass(frozen=True, slots=True)
class Slot:
    """A named array in the buffer."""

    offset: int  # in float32 numbers, a multiple of 16
    shape: Shape
    size: int  # numbers in the array


class Arrays(ABC):
    """Named arrays in one flat buffer, each beginning at a whole vector."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """Name -> shape with padded rows, in buffer order."""

    @cached_property
    def slots(self) -> dict[str, Slot]:
        """Name -> place in the buffer."""
        slots, offset = {}, 0
        for name, shape in self.shapes.items():
            slots[name] = Slot(offset, shape, prod(shape))
            offset += padded(prod(shape))
        return slots

    @cached_property
    def size(self) -> int:
        """Length of the buffer in float32 numbers."""
        last = list(self.slots.values())[-1]
        return last.offset + padded(last.size)

    def allocate(self, zeroed: bool = True) -> Floats:
        """A buffer for these arrays."""
        return aligned(self.size, zeroed)

    def views(self, buffer: Floats) -> dict[str, Floats]:
        """Name -> array over the buffer's own memory."""
        return {
            name: buffer[slot.offset : slot.offset + slot.size].reshape(slot.shape)
            for name, slot in self.slots.items()
        }

    def enlarged(self, old: dict[str, Floats]) -> Floats:
        """A buffer with the contents of other arrays, as far as there is room; else zero."""
        buffer = self.allocate()
        for name, view in self.views(buffer).items():
            common = tuple(slice(min(pair)) for pair in zip(view.shape, old[name].shape, strict=True))
            view[common] = old[name][common]
        return buffer


@dataclass(frozen=True)
class Layout(Arrays):
    """A network's arrays; a function of four sizes, each of which may be 0 but the width."""

    hidden_layers: int  # L
    width: int  # H, units of a hidden layer
    columns: int  # D, dense inputs: numbers, their ramps and missing indicators
    classes: int  # C, outputs of a head

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Name -> shape with padded rows, in buffer order. Classes stand in rows, units in lanes."""
        depths, units = self.hidden_layers, padded(self.width)
        return {
            "alpha": (padded(depths + 1),),  # weight of each depth, 0 first
            "input_kernel": (self.columns if depths else 0, units),
            "hidden_kernel": (max(depths - 1, 0), self.width, units),  # of layers 2 to L
            "hidden_bias": (depths, units),  # of layers 1 to L
            "head_kernel": (depths, self.classes, units),  # of depths 1 to L
            "head_bias": (depths, padded(self.classes)),
            "head0_kernel": (self.classes, padded(self.columns)),  # depth 0: linear on the inputs
            "head0_bias": (padded(self.classes),),
            "gradient_square": (depths, units),  # running mean square of each unit's gradient
            "activation_square": (max(depths - 1, 0), units),  # … of what layers 2 to L receive
            "error_square": (padded(depths + 1),),  # … of each head's error, depth 0 first
        }


@dataclass(frozen=True)
class Memory(Arrays):
    """What the experts beside the network remember; all of it empty where the window is 0."""

    window: int  # events remembered
    numbers: int  # dimensions of an event's point that come from numbers
    kinds: int  # … from categories
    regression: bool  # remembers targets, not classes
    classes: int  # C; 1 for a regression
    experts: int  # depths and the others
    fields: int  # number fields

    @property
    def blocks(self) -> int:
        """The window in whole blocks of events."""
        return -(-self.window // BLOCK)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Name -> shape with padded rows, in buffer order. Events stand in lanes, 64 in a block, so that a
        scan of all of them is one pass through memory."""
        classes = self.classes if self.window and not self.regression else 0
        linear = self.classes if self.window else 0
        groups = TARGET_SUMS if self.window and self.regression else classes
        return {
            "ring": (self.blocks, self.numbers, BLOCK),  # points: [slot // 64, dimension, slot % 64]
            "ring_kind": (self.blocks, self.kinds, BLOCK),  # category rows
            "ring_label": (self.blocks * BLOCK,),  # class index, or standardised target
            "distance_weight": (padded(self.numbers) if self.window else 0,),  # of each number's square
            "group_count": (padded(groups),),  # events of each class; or Σ 1, Σ y, Σ y²
            "group_sum": (groups, padded(self.numbers)),  # Σ point of each class; or Σ x, Σ xy, Σ x²
            "last_count": (classes, padded(classes)),  # [last label, label]: how often one followed the other
            "expert_weight": (MIXTURES if self.window else 0, padded(self.experts)),
            "trust": (LANES if self.window else 0,),  # in each mixture; then a regression's mean square error
            "linear": (linear, padded(self.fields)),  # the linear expert: by class, on z-scores
            "linear_square": (linear, padded(self.fields)),  # sums of its squared gradients
            "linear_bias": (padded(linear),),
        }


def unpadded(layout: Layout, views: dict[str, Floats]) -> dict[str, Floats]:
    """Copies of the weights under their names in the network: kernels [inputs, outputs], biases [outputs].

    `input/kernel` [D, H]; `hidden_{l}/kernel` [H, H] for l = 2 … L; `hidden_{l}/bias` [H],
    `head_{l}/kernel` [H, C] and `head_{l}/bias` [C] for l = 1 … L;
    `head_0/kernel` [D, C], `head_0/bias` [C]; `alpha` [L + 1].
    """
    return {name: array.copy(order="C") for name, array in _named(layout, views).items()}


def fill(layout: Layout, views: dict[str, Floats], weights: dict[str, Floats]) -> None:
    """Write weights as `unpadded` gives them. Raises `ValueError` for other names or shapes."""
    targets = _named(layout, views)
    if set(weights) != set(targets):
        wrong = sorted(set(weights) ^ set(targets))
        raise ValueError(f"expected the weights {', '.join(targets)}; missing or unknown: {', '.join(wrong)}")
    for name, target in targets.items():
        if weights[name].shape != target.shape:
            raise ValueError(f"expected '{name}' of shape {target.shape}, received {weights[name].shape}")
        if not np.isfinite(weights[name]).all():
            raise ValueError(f"expected finite numbers in '{name}'")
    for name, target in targets.items():
        target[...] = weights[name]


def _named(layout: Layout, views: dict[str, Floats]) -> dict[str, Floats]:
    """Writable views without padding, under the names and in the orientation of the network."""
    depths, units, columns, classes = layout.hidden_layers, layout.width, layout.columns, layout.classes
    named: dict[str, Floats] = {}
    if depths:
        named["input/kernel"] = views["input_kernel"][:, :units]
    for depth in range(1, depths + 1):
        if depth > 1:
            named[f"hidden_{depth}/kernel"] = views["hidden_kernel"][depth - 2, :, :units]
        named[f"hidden_{depth}/bias"] = views["hidden_bias"][depth - 1, :units]
        named[f"head_{depth}/kernel"] = views["head_kernel"][depth - 1, :, :units].T
        named[f"head_{depth}/bias"] = views["head_bias"][depth - 1, :classes]
    named["head_0/kernel"] = views["head0_kernel"][:, :columns].T
    named["head_0/bias"] = views["head0_bias"][:classes]
    named["alpha"] = views["alpha"][: depths + 1]
    return named
