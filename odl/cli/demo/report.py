"""The report of a demo: facts, scores of the answers that were served, and the equalities that must hold."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from odl.cli.demo.scoreboard import Served
from odl.log import Counters, Head
from odl.prequential import PROBABILITY_MIN, auc

if TYPE_CHECKING:
    from odl.cli.demo.audit import Audit


@dataclass(frozen=True)
class ReplicaState:
    """What a replica said after it had caught up."""

    id: str
    version: int
    digest: str


@dataclass(frozen=True)
class Measured:
    """What a run came to."""

    events: int  # outcomes acknowledged in this and all earlier runs
    head: Head
    counters: Counters
    served: Sequence[Served]  # this run's predictions, in the order in which outcomes became known
    seconds: float  # from the first prediction until every replica had learned everything
    replicas: list[ReplicaState]
    offline: dict[str, Any]  # what `odl replay --json` printed
    audit: "Audit"
    figure: str


@dataclass(frozen=True)
class Check:
    """An equality that must hold."""

    claim: str
    holds: bool
    found: str


def report(measured: Measured) -> dict[str, Any]:
    """The report as plain JSON types; scores are of this run's answers, counts of the log's whole history."""
    served, head = measured.served, measured.head
    late = [one.late for one in served]
    milliseconds = [1000 * one.answer.seconds for one in served]
    p50, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 99))
    probabilities = [one.probability for one in served]
    return {
        "events": measured.events,
        "version": head.version,
        "epoch": head.epoch,
        "duplicates": measured.counters.duplicates,
        "dead_letters": measured.counters.skipped,
        "auc": auc(probabilities, late) if 0 < sum(late) < len(late) else None,
        "log_loss": log_loss(probabilities, late),
        "accuracy": sum((p > 0.5) == y for p, y in zip(probabilities, late, strict=True)) / len(late),
        "base_rate_log_loss": log_loss([one.base_rate for one in served], late),
        "seconds": round(measured.seconds, 3),
        "events_per_second": round(len(served) / measured.seconds, 1),
        "predict_ms": {"p50": round(p50, 3), "p99": round(p99, 3)},
        "replicas": [asdict(replica) for replica in measured.replicas],
        "offline_digest": measured.offline["digest"],
        "figure": measured.figure,
        "served": len(served),
        "reproduced": measured.audit.reproduced,
        "depth_0_log_loss": log_loss(measured.audit.depth_0, late),
        "depth_weights": measured.audit.weights[-1][1],
    }


def log_loss(probabilities: Sequence[float], late: Sequence[bool]) -> float:
    """Mean of -ln of the probability that was given to what became true.

    >>> round(log_loss([0.5, 0.9], [False, True]), 4)
    0.3993
    """
    given = [p if y else 1 - p for p, y in zip(probabilities, late, strict=True)]
    return -sum(math.log(max(p, PROBABILITY_MIN)) for p in given) / len(given)


def checks(found: dict[str, Any]) -> list[Check]:
    """The equalities that a report must show."""
    version, digests = found["version"], sorted({replica["digest"] for replica in found["replicas"]})
    versions = [replica["version"] for replica in found["replicas"]]
    offline = found["offline_digest"]
    return [
        Check(
            "every outcome is in the log, once",
            version == found["events"],
            f"version {version:,}, outcomes sent {found['events']:,}",
        ),
        Check(
            "every replica has learned it all",
            all(v == version for v in versions),
            f"versions {', '.join(f'{v:,}' for v in versions)}",
        ),
        Check(
            "same version, same bits",
            len(digests) == 1,
            f"digests {', '.join(digest[:12] for digest in digests)}",
        ),
        Check("an independent fold of the log agrees", digests == [offline], f"offline {offline[:12]}"),
        Check(
            "every answer is reproduced offline, bit for bit",
            found["reproduced"] == found["served"],
            f"{found['reproduced']:,} of {found['served']:,}",
        ),
    ]
