"""What a replica says about itself: cheap health for probes, and the full status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What probes want to know; made without the replica's thread."""

    alive: bool  # False: restart the process
    ready: bool  # False: send requests elsewhere
    reason: str  # why not, else empty
    version: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """Everything about a replica, of one moment between two turns."""

    replica_id: str
    version: int  # log entries learned or passed over
    epoch: int
    chain: str  # of the log at that version
    digest: str  # of the learner; empty if it was not asked for
    fold_id: str
    events: int  # events learned and scored
    log_id: str
    lag: int  # entries that were in the log at the last read and are not learned yet
    accuracy: float | None
    log_loss: float | None
    base_rate_log_loss: float | None
    auc: float | None
    mae: float | None
    rmse: float | None
    depth_weights: list[float]
    skipped: int  # entries that taught nothing
    resets: int  # how often learned history turned out to be lost
    ready: bool
    reason: str  # why it is not ready
