"""Thousands of worlds, each drawn by its seed: whatever happens to the log, every promise is kept.

A seed that fails is shown by `python tests/simulation/run.py --seed N`.
"""

from collections import Counter

import pytest
from simulation import Run, run_many, run_one

BLOCK = 500  # worlds a test; big enough for every fault to land in each
BLOCKS = 4

LANDING = {
    "answered",
    "away",
    "crash after",
    "crash before",
    "damage found",
    "dead letter unconfirmed",
    "decision superseded",
    "done twice",
    "duplicate",
    "entry that teaches nothing",
    "failed back",
    "full",
    "gap",
    "holder paused",
    "hand-over refused",
    "handed over",
    "hole in offsets",
    "kafka away",
    "late twin",
    "log flushed",
    "memory nearly full",
    "out of range",
    "poison",
    "produced twice",
    "promoted",
    "refused",
    "replica restarted",
    "reply lost",
    "request lost",
    "resets",
    "rewound",
    "rolled back",
    "sent again",
    "snapshot damaged",
    "snapshot elsewhere",
    "snapshot fenced",
    "stale",
    "tombstone",
    "topic re-created",
    "trimmed",
    "trimmed as retained",
    "zombie twin",
}


def explain(run: Run) -> str:
    """The trace of a run that failed."""
    return f"{run_one(run.seed, tell=True).report()}\nagain: python tests/simulation/run.py --seed {run.seed}"


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_promise_is_kept_whatever_happens(block: int) -> None:
    counts: Counter[str] = Counter()
    for run in run_many(range(block * BLOCK, (block + 1) * BLOCK)):
        assert not run.violation, explain(run)
        counts += run.counts
    assert {name for name in LANDING if not counts[name]} == set(), (
        "a simulation without faults proves nothing"
    )


def test_a_seed_says_all_that_happens() -> None:
    first, second = run_one(7, tell=True), run_one(7, tell=True)
    assert len(first.lines) > 100
    assert (first.lines, first.counts) == (second.lines, second.counts)


def test_telling_changes_nothing() -> None:
    assert run_one(8, tell=True).counts == run_one(8).counts
