"""The check of linearizability: a log with its replicas is one counter.

Feedback is `increment and get`, a prediction is `get`; both answer with a version. A history of operations,
each with when it began and when it was answered, is linearizable exactly when every operation fits behind all
that were answered before it began:

- a prediction has their highest version or a later one (else it is stale);
- an accepted feedback has a version above all of theirs, and no two share one.

>>> history = [Operation("feedback", 0.0, 1.0, 1), Operation("predict", 2.0, 3.0, 1)]
>>> check(history)
[]
>>> check([*history, Operation("predict", 4.0, 5.0, 0)])
['predict of version 0 began at 4.000000, after feedback of version 1 was answered at 1.000000']
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as its caller saw it."""

    kind: Literal["feedback", "predict"]
    began: float  # monotonic seconds, before the request was sent (a repeated one: for the first time)
    ended: float  # after its answer was received
    version: int  # in the answer
    stale: bool = False  # whether the answer said of itself that it may be stale


def check(history: Iterable[Operation], *, believe_marks: bool = True) -> list[str]:
    """Every violation, one line each; none means linearizable. Answers that say that they are stale promise
    nothing, unless `believe_marks` is false."""
    violations: list[str] = []
    answered: list[tuple[float, int, Operation]] = []  # heap of those under way, by when they end
    newest = Operation("predict", 0.0, 0.0, 0)  # the highest version among those that were answered
    taken: dict[int, Operation] = {}
    operations = [each for each in history if not (each.stale and believe_marks)]
    for number, operation in enumerate(sorted(operations, key=lambda each: each.began)):
        while answered and answered[0][0] < operation.began:
            before = heapq.heappop(answered)[2]
            if before.version > newest.version:
                newest = before
        if operation.version < newest.version + (operation.kind == "feedback"):
            violations.append(
                f"{operation.kind} of version {operation.version} began at {operation.began:.6f}, after "
                f"{newest.kind} of version {newest.version} was answered at {newest.ended:.6f}"
            )
        if operation.kind == "feedback":
            if operation.version in taken:
                violations.append(f"two feedbacks were answered with version {operation.version}")
            taken[operation.version] = operation
        heapq.heappush(answered, (operation.ended, number, operation))
    return violations
