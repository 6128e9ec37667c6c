"""A fold under the plan of a control entry, made beside the one that serves, a bounded piece at a time."""

from odl.control import Control
from odl.errors import HistoryLost
from odl.fold import Fold
from odl.folds import Folds
from odl.log import Entry
from odl.relation import Relation, relation


class Rebuild:
    """On its way to the control entry that asked for it."""

    def __init__(self, folds: Folds, control: Control, entry: Entry, log_id: str) -> None:
        self._folds = folds
        self._plan = control.plan(entry.version)
        self._target = entry
        self._log_id = log_id
        self._fold: Fold | None = None

    def step(self, count: int) -> Fold | None:
        """Take up to `count` entries. The fold at the control entry's version, or a later one, once there is
        one: somebody may have saved it meanwhile, most of all who appended the entry.

        Raises `HistoryLost` when the log was trimmed below what this needs, or its history changed.
        """
        target = self._target
        newest = self._folds.newest(self._log_id, above=target.version - 1)
        if newest is not None:
            return newest
        if self._fold is None:
            self._fold = self._folds.begin(self._plan, target.version, self._log_id)
        fold = self._fold
        part = self._folds.log.read(fold.version, max(1, min(count, target.version - fold.version)))
        if relation(fold.version, fold.chain, part) is not Relation.CONTINUES:
            raise HistoryLost(f"the log changed below version {target.version} while it was folded anew")
        fold.take_all([entry for entry in part.entries if fold.version < entry.version <= target.version])
        if fold.version < target.version:
            return None
        if fold.chain != target.chain:
            raise HistoryLost(f"the log changed at version {target.version} while it was folded anew")
        return fold
