"""A challenger: another spec folded over the same log, scored beside the champion on the same events.

The champion is the fold that serves, made here a second time, so that both are scored on exactly the same
events and no replica has to know. A promotion or rollback begins both anew under the plan in force.
"""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec
import redis

from odl.control import Plan, Spec, merge
from odl.errors import HistoryLost, Misconfigured
from odl.fold import Fold
from odl.folds import Folds
from odl.log import Head
from odl.recent import Recent, RecentScores, Sums
from odl.redis_keys import RedisKeys
from odl.redis_script import transact
from odl.replay import advance

PAGE = 1_000  # entries a step
BETTER_BY = 0.001  # of its loss: less than that is rounding, or luck
CHALLENGERS_MAX = 20  # of one model: each folds the whole log by itself


class ChallengerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger and the champion came to on the same events."""

    name: str
    origin: str  # the model file it was made of; empty: the spec that serves
    after: int  # version after which it began to learn
    since: int  # version after which both are scored
    version: int  # up to which they are
    events: int  # scored in between
    fold_id: str  # of the challenger
    challenger: dict[str, float]  # its scores since then
    champion: dict[str, float]
    challenger_recent: dict[str, float]  # of the last thousand events
    champion_recent: dict[str, float]
    beat_ms: int  # when this was said, Unix milliseconds

    def is_better(self) -> bool:
        """Whether the challenger's log-loss (regression: mean absolute error) is lower by `BETTER_BY`."""
        measure = "mae" if "mae" in self.challenger else "log_loss"
        mine, other = (found.get(measure) for found in (self.challenger, self.champion))
        return mine is not None and other is not None and mine < other * (1 - BETTER_BY)


class Challenger:
    """Two folds in step. `step` until it is at the head, then now and again."""

    def __init__(
        self,
        name: str,
        folds: Folds,
        spec: Spec | None = None,
        *,
        after: int = 0,
        since: int | None = None,
        origin: str = "",
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`spec`: of the challenger; None: of the champion. `since`: score what comes after this version;
        None: what comes from now on, or what the nearest snapshot of the champion leaves."""
        self.name, self.after = name, after
        self._folds, self._spec, self._since, self._origin = folds, spec, since, origin
        self._clock_ms = clock_ms
        self._control = -1  # version of the control entry under which both were begun
        self._pair: _Pair | None = None

    def step(self, count: int = PAGE) -> bool:
        """Fold up to so many entries further; whether both are at the head now. Raises `HistoryLost` where
        the log was trimmed below what they need, `Misconfigured` if it is the champion itself."""
        log = self._folds.log
        head, control = log.head(), log.counters().control
        if self._pair is None or control != self._control or head.log_id != self._pair.head.log_id:
            self._pair, self._control = self._begin(head), control
        try:
            return self._pair.step(log.head(), count)
        except HistoryLost:
            self._pair = None  # a lost branch: the next step begins on the present history
            raise

    def _begin(self, head: Head) -> "_Pair":
        folds = self._folds
        serving = folds.plan_at(head.version)
        plan = Plan(
            spec=self._spec or serving.spec,
            left_out=merge((*serving.left_out, (1, self.after))),
            without=serving.without,
        )
        since = head.version if self._since is None else min(self._since, head.version)
        champion, challenger = (folds.begin(each, since, head.log_id) for each in (serving, plan))
        if champion.learner.fold_id == challenger.learner.fold_id and plan.reads_as(serving, head.version):
            raise Misconfigured(
                "expected a challenger that differs from the model that serves: name another --spec, or a "
                "version to begin after"
            )
        since = max(champion.version, challenger.version, 0 if self._since is None else since)
        return _Pair(self._folds, champion, challenger, head, since)

    def record(self) -> ChallengerRecord | None:
        """What both came to so far; None before the first event was scored."""
        pair = self._pair
        if pair is None or pair.base is None:
            return None
        challenger, champion = pair.scores()
        return ChallengerRecord(
            name=self.name,
            origin=self._origin,
            after=self.after,
            since=pair.since,
            version=pair.challenger.version,
            events=int(challenger.events),
            fold_id=pair.challenger.learner.fold_id,
            challenger=_plain(challenger),
            champion=_plain(champion),
            challenger_recent=_plain(pair.recent[0].window()),
            champion_recent=_plain(pair.recent[1].window()),
            beat_ms=self._clock_ms(),
        )


class _Pair:
    """Champion and challenger on one history under one plan."""

    def __init__(self, folds: Folds, champion: Fold, challenger: Fold, head: Head, since: int) -> None:
        self._log = folds.log
        self.champion, self.challenger, self.head, self.since = champion, challenger, head, since
        self.base: tuple[Sums, Sums] | None = None  # at `since`: challenger's, champion's
        self.recent = Recent(), Recent()

    def step(self, head: Head, count: int) -> bool:
        both = self.challenger, self.champion
        if self.base is None:
            for fold in both:
                self._advance(fold, min(self.since, fold.version + count), head)
            if any(fold.version < self.since for fold in both):
                return False
            self.base = self._sample()
        to = min(head.version, self.challenger.version + count)
        for fold in both:
            self._advance(fold, to, head)
        self._sample()
        return to == head.version

    def _advance(self, fold: Fold, to: int, head: Head) -> None:
        if fold.version <= to:
            advance(self._log, fold, to, head)

    def _sample(self) -> tuple[Sums, Sums]:
        sums = Sums.of(self.challenger.scores), Sums.of(self.champion.scores)
        for recent, each in zip(self.recent, sums, strict=True):
            recent.sample(each)
        return sums

    def scores(self) -> tuple[RecentScores, RecentScores]:
        """Of the challenger and of the champion, since both are scored."""
        assert self.base is not None
        now = Sums.of(self.challenger.scores), Sums.of(self.champion.scores)
        first, second = (sums.plus(base, -1.0).scores() for sums, base in zip(now, self.base, strict=True))
        return first, second


class Challengers(Protocol):
    """Where records of challengers are."""

    def publish(self, record: ChallengerRecord) -> None:
        """Replace the record of that name. Raises `Misconfigured` beyond `CHALLENGERS_MAX` of them."""

    def remove(self, name: str) -> None:
        """Forget one."""

    def list(self) -> list[ChallengerRecord]:
        """All of them, by name."""


class RedisChallengers:
    """`Challengers` of the model `name`."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client = client
        self._key = RedisKeys(name).challengers

    def publish(self, record: ChallengerRecord) -> None:
        names = {each.name for each in self.list()}
        if record.name not in names and len(names) >= CHALLENGERS_MAX:
            raise Misconfigured(
                f"expected at most {CHALLENGERS_MAX} challengers: forget one (`odl challenge --forget NAME`)"
            )
        transact(self._client, ("HSET", self._key, record.name, msgspec.json.encode(record)))

    def remove(self, name: str) -> None:
        transact(self._client, ("HDEL", self._key, name))

    def list(self) -> list[ChallengerRecord]:
        [found] = transact(self._client, ("HGETALL", self._key))
        return [msgspec.json.decode(found[name], type=ChallengerRecord) for name in sorted(found)]


def _plain(scores: RecentScores) -> dict[str, float]:
    return {name: value for name, value in scores.known().items() if name != "events"}
