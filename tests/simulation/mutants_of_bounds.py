"""The rules that keep the log in bounds, each taken away; put into worlds by `mutants`."""

from collections.abc import Sequence

from simulated_server import Server

from odl.errors import LogFull
from odl.follower import Follower
from odl.lock import Lease
from odl.log import Append, Appended, Head, Log, Outcome
from odl.replicas import MemoryReplicas, Replicas
from odl.snapshots import Snapshot
from odl.snapshotter import Snapshotter


class Unlimited(Server):
    """Takes entries beyond the limit."""

    def append(self, item: Append) -> Appended:
        self._here().limit = None
        return super().append(item)


class SilentlyFull(Server):
    """Acknowledges what it does not take."""

    def append(self, item: Append) -> Appended:
        try:
            return super().append(item)
        except LogFull:
            return Appended(Outcome.ACCEPTED, self._here().head.version, item.seq)


class PassesWhatIsFull(Server):
    """Moves a source's position though its event was not taken."""

    def append(self, item: Append) -> Appended:
        try:
            return super().append(item)
        except LogFull:
            if item.seq is not None:
                self._here().positions[item.source] = item.seq
            raise


class TrimsUnconfirmed(Snapshotter):
    """Trims under a snapshot that only the one who saved it has loaded."""

    def _trim(self, log: Log, replicas: Replicas, kept: Sequence[Snapshot]) -> None:
        super()._trim(log, MemoryReplicas(), list(kept))


class RetainsNothing(Snapshotter):
    """Trims all that snapshots cover."""

    def _trim(self, log: Log, replicas: Replicas, kept: Sequence[Snapshot]) -> None:
        self._retain = 0
        super()._trim(log, replicas, list(kept))


class AnyFold(Follower):
    """Answers whatever fold the log belongs to."""

    def _check_fold_id(self, head: Head) -> None:
        if not head.fold_id:
            self._log.claim(self.fold_id)


class AdoptsUnfenced(Server):
    """Lets whoever held the lock once hand the log over."""

    def adopt(self, fold_id: str, lease: Lease) -> Head:
        return super().adopt(fold_id, self._snapshots.lock._last or lease)
