"""The rules of rollbacks and promotions, each taken away; put into worlds by `mutants`."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from simulated_server import Server

from odl.control import Plan
from odl.fold import Fold
from odl.folds import Folds
from odl.follower import Follower
from odl.lock import Lease
from odl.log import Entry, Head


class BlindDecisions(Server):
    """Takes a decision whatever was decided since its author looked."""

    def append_control(self, payload: bytes, control_id: str, expected: Head, lease: Lease) -> int:
        return super().append_control(payload, control_id, self._here().head, lease)


class TrimsWhatDecisionsNeed(Server):
    """Lets snapshots from before a control entry allow trimming."""

    def trim(self, up_to_version: int, fold_id: str, lease: Lease) -> int:
        state = self._here()
        counters, state.counters = state.counters, replace(state.counters, control=0)
        try:
            return super().trim(up_to_version, fold_id, lease)
        finally:
            state.counters = counters


class DeafFollower(Follower):
    """Passes control entries like any that teach nothing."""

    def _take(self, pages: Iterable[list[Entry]]) -> None:
        self.fold.take_pages(pages)


class _PlanlessFolds(Folds):
    def nearest(self, plan: Plan, up_to: int, log_id: str) -> Fold | None:
        for snapshot in self.snapshots_here(log_id):
            fold = self.load(snapshot) if snapshot.version <= up_to else None
            if fold is not None:
                fold.plan = plan
                return fold
        return None


class AnyPlan(Follower):
    """Begins a fold at the nearest snapshot, whatever that was taught."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.folds = _PlanlessFolds(*parts)
