"""The experts beside the depths of an exported model, by NumPy alone.

What an event's nearest are must not depend on rounding, so distances are taken in float32 in the kernel's
order, number after number; the rest is plain arithmetic.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hedge_model.kernel.definitions import (
    DISTANCE_MIN,
    KIND_GAP,
    LAST_LABEL,
    LEARNED,
    NO_KIND,
    POINT_NUMBERS_MAX,
    PROBABILITY_FLOOR,
    RECENT_EVENTS,
    RECENT_VOTERS,
    SIGN_PRIME,
    VOTE_PRIOR,
    VOTE_SPREAD,
    VOTE_WEIGHT,
    VOTERS,
)
from hedge_model.layout import MIXTURES
from hedge_model.spec import ModelSpec

if TYPE_CHECKING:
    from hedge_model.state import State

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def exported_experts(state: "State") -> dict[str, npt.NDArray[Any]]:
    """What `PortableExperts` needs, by name: the remembered events in the order of their slots, [R, n]."""
    layout = state.shape.memory
    if not layout.window:
        return {}
    views = layout.views(state.memory)
    filled = min(int(state.moments[LEARNED]), layout.window)
    return {
        "experts/ring": _by_dimension(views["ring"])[:, :filled],
        "experts/ring_kind": _by_dimension(views["ring_kind"])[:, :filled],
        "experts/ring_label": views["ring_label"][:filled],
        "experts/distance_weight": views["distance_weight"][: layout.numbers],
        "experts/last_count": views["last_count"][:, : layout.classes],
        "experts/expert_weight": views["expert_weight"][:, : layout.experts],
        "experts/trust": views["trust"][:MIXTURES],
        "experts/linear": views["linear"][:, : layout.fields],
        "experts/linear_bias": views["linear_bias"],
    }


def _by_dimension(blocks: Floats) -> Floats:
    """[blocks, dimensions, 64] as [dimensions, events]."""
    return blocks.transpose(1, 0, 2).reshape(blocks.shape[1], blocks.shape[0] * blocks.shape[2])


class PortableExperts:
    """Last label, nearest events, and the mixture of all experts, as they were when exported."""

    def __init__(self, spec: ModelSpec, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._window, self._regression = spec.window, spec.task == "regression"
        self._ring: Floats = arrays["experts.ring"]
        self._ring_kind: Floats = arrays["experts.ring_kind"]
        self._labels: Floats = arrays["experts.ring_label"]
        self._distance_weight: Floats = arrays["experts.distance_weight"]
        self._last_count: Floats = arrays["experts.last_count"]
        self._linear: Floats = arrays["experts.linear"]
        self._linear_bias: Floats = arrays["experts.linear_bias"]
        self._linear_rows: Floats = arrays["table.linear"]
        self._weights: Floats = arrays["experts.expert_weight"]
        self._trust: Floats = arrays["experts.trust"]
        self._learned = int(arrays["moments"][LEARNED])
        self._last = float(arrays["moments"][LAST_LABEL])

    def mixed(self, depths: Doubles, z: Floats, kinds: list[int], known: list[int]) -> Doubles:
        """The prediction [C] from what the depths say [L + 1, C], z-scores and category rows of the event,
        and places among the learned rows of those that it has."""
        outputs = depths.shape[1]
        experts = [
            self._follow(outputs),
            *self._ask(z, kinds, outputs),
            self._linear_output(z, known, outputs),
        ]
        said = np.vstack([depths, *experts])
        if self._regression:
            return np.asarray(self._trust @ (self._weights @ said), np.float64)
        evidence = np.log(said + PROBABILITY_FLOOR)
        logits = self._weights @ (evidence - evidence.mean(axis=1, keepdims=True))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(self._trust @ (powers / powers.sum(axis=1, keepdims=True)), np.float64)

    def _follow(self, outputs: int) -> Doubles:
        if self._regression:
            return np.array([self._last])
        last = int(self._last) - 1
        counts = self._last_count[last].astype(np.float64) if last >= 0 else np.zeros(outputs)
        return np.asarray((counts + 1 / outputs) / (counts.sum() + 1))

    def _linear_output(self, z: Floats, known: list[int], outputs: int) -> Doubles:
        logits = self._linear_bias[:outputs] + self._linear @ z.astype(np.float64)
        logits = logits + self._linear_rows[known].sum(axis=0)
        if self._regression:
            return np.asarray(logits)
        powers = np.exp(logits - logits.max())
        return np.asarray(powers / powers.sum())

    def _ask(self, z: Floats, kinds: list[int], outputs: int) -> list[Doubles]:
        distance = self._distances(z, kinds)
        slot, recent = self._learned % self._window, min(self._learned, RECENT_EVENTS)
        every = np.arange(distance.size)
        last = np.r_[max(slot - recent, 0) : slot, self._window - max(recent - slot, 0) : self._window]
        votes = [self._vote(distance, every, voters, outputs) for voters in VOTERS]
        return [*votes, self._vote(distance, last, RECENT_VOTERS, outputs)]

    def _distances(self, z: Floats, kinds: list[int]) -> Floats:
        point = np.zeros(len(self._distance_weight), np.float32)
        for field, score in enumerate(z):
            odd = (field * SIGN_PRIME % 2**32 >> 16) % 2
            sign = 1 if field < POINT_NUMBERS_MAX or odd else -1
            point[field % POINT_NUMBERS_MAX] += np.float32(sign) * score
        distance = np.zeros(self._ring.shape[1], np.float32)
        for value, weight, row in zip(point, self._distance_weight, self._ring, strict=True):
            gap = value - row
            distance += weight * gap * gap
        for k, row in enumerate(self._ring_kind):
            kind = np.float32(kinds[k] if k < len(kinds) else NO_KIND)
            distance += np.float32(KIND_GAP) * (row != kind)
        return distance

    def _vote(self, distance: Floats, slots: npt.NDArray[np.int64], voters: int, outputs: int) -> Doubles:
        """Votes of the nearest among `slots`; of equal ones, of those that stand first there."""
        nearest = slots[np.argsort(distance[slots], kind="stable")[:voters]]
        votes = np.zeros(outputs) if self._regression else np.full(outputs, VOTE_PRIOR / outputs)
        if not nearest.size:
            return votes / VOTE_PRIOR
        near = distance[nearest].astype(np.float64)
        spread = VOTE_SPREAD * near[-1] + DISTANCE_MIN
        weights = VOTE_WEIGHT * spread / (near + spread)
        labels = self._labels[nearest]
        if self._regression:
            votes += weights @ labels
        else:
            np.add.at(votes, labels.astype(np.int64), weights)
        return np.asarray(votes / (VOTE_PRIOR + weights.sum()))
