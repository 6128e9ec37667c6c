"""Follows the log beside the replicas, shows every event to the detectors, records drifts, pulls triggers.

A process of its own: river and what it imports take more memory than a serving process. What it finds is a
function of the log (odl.drift_detectors), so after a crash it folds a little again and goes on where it was:
`seen` in the record tells what is not new.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable

from msgspec.structs import replace

from odl.control import control_of
from odl.drift import Drift, DriftRecord, DriftSettings
from odl.drift_detectors import DriftDetectors, begin_at
from odl.drift_policy import DriftPolicies, now_ms
from odl.drift_store import DriftStore, with_drifts, with_trigger
from odl.errors import HistoryLost
from odl.fold import Fold
from odl.folds import Folds
from odl.log import Entry, Head
from odl.recent import Recent, Sums
from odl.relation import Relation, relation
from odl.replay import advance

PAGE = 1_000  # entries a step
BEAT_EVERY_MS = 5_000  # a record is written so often, though nothing was found

logger = logging.getLogger(__name__)


class DriftObserver:
    """Observes one model. `step` now and again; `close` at the end."""

    def __init__(
        self,
        folds: Folds,
        store: DriftStore,
        settings: DriftSettings,
        policies: DriftPolicies,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._folds, self._store, self._settings, self._policies = folds, store, settings, policies
        self._clock_ms = clock_ms
        self._observer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._record: DriftRecord | None = None  # None: to be begun
        self._fold = folds.new()
        self._detectors = DriftDetectors(settings)
        self._recent = Recent()

    def step(self) -> bool:
        """Read the log once, look at what is new; whether this was all. Raises `Unavailable`, `HistoryLost`
        where nothing leads to the log's present history, and `Superseded` when somebody else observes."""
        record = self._record or self._begin()
        part = self._folds.log.read(self._fold.version, PAGE)
        how = relation(self._fold.version, self._fold.chain, part)
        if how is not Relation.CONTINUES or part.head.log_id != record.log_id:
            logger.warning("the log does not continue version %d: observing anew", self._fold.version)
            self._record = None
            return False
        found: list[Drift] = []
        for entry in part.entries:
            if entry.version > self._fold.version:
                found += self._take(entry, part.head)
        self._recent.sample(Sums.of(self._fold.scores))
        self._after(record, found, part.head.version)
        return self._fold.version >= part.head.version and not self._policies.is_behind

    def close(self) -> None:
        """Say that nobody observes any more."""
        if self._record is not None:
            self._store.save(replace(self._record, beat_ms=self._clock_ms()))
            self._store.release(self._observer)
        self._policies.close()

    def _begin(self) -> DriftRecord:
        log, generation = self._folds.log, self._settings.generation
        head, kept = log.head(), self._store.load()
        is_same = kept.log_id == head.log_id and kept.seen <= head.version
        record = replace(
            kept,
            log_id=head.log_id,
            seen=kept.seen if is_same else head.version if kept.log_id == head.log_id else 0,
            observer=self._observer,
            beat_ms=self._clock_ms(),
            triggers=tuple(
                replace(each, state="failed", outcome="the observer stopped while it was pulled")
                if each.state == "open" and not each.until
                else each
                for each in kept.triggers
            ),
        )
        self._store.save(record)
        start = begin_at(record.seen, generation)
        self._fold = self._fold_at(start, head)
        self._detectors = DriftDetectors(self._settings, self._fold.version)
        self._recent = Recent()
        self._record = record
        return record

    def _fold_at(self, version: int, head: Head) -> Fold:
        """The model as it was at a version; where the log was trimmed too far for that, at the next one that
        a snapshot holds."""
        folds = self._folds
        try:
            fold = folds.begin(folds.plan_at(version), version, head.log_id)
            advance(folds.log, fold, version, head)
            return fold
        except HistoryLost as error:
            for snapshot in reversed(list(folds.snapshots_here(head.log_id, above=version))):
                found = folds.load(snapshot)
                if found is not None:
                    logger.warning("detectors begin at version %d: %s", found.version, error)
                    return found
            raise

    def _take(self, entry: Entry, head: Head) -> list[Drift]:
        control = control_of(entry.payload)
        if control is not None and entry.version > self._fold.plan.since:
            self._fold.check(entry)
            fold = self._folds.begin(control.plan(entry.version), entry.version, head.log_id)
            advance(self._folds.log, fold, entry.version, head)
            self._fold, self._recent = fold, Recent()
            return []
        learned = self._fold.take(entry)
        return self._detectors.see(learned) if learned else []

    def _after(self, record: DriftRecord, found: list[Drift], head: int) -> None:
        """Record what is new, then pull triggers, then look at those that are open."""
        before, now = record, self._clock_ms()
        new = [drift for drift in found if drift.version > record.seen]
        record = replace(
            with_drifts(record, new, self._detectors.watched()), seen=max(record.seen, self._fold.version)
        )
        for drift in new:
            logger.warning(
                "drift of %s (%s) at version %d: %.3f to %.3f, by %s",
                drift.field, drift.series, drift.version, drift.before, drift.after, drift.detector,
            )  # fmt: skip
            record = self._decide(record, drift, head)
        for trigger in record.triggers:
            if trigger.state == "open" and trigger.until:
                looked = self._policies.look(trigger, head, self._scores())
                record = with_trigger(record, looked) if looked != trigger else record
        if (record.drifts, record.triggers) != (before.drifts, before.triggers) or (
            now - before.beat_ms >= BEAT_EVERY_MS
        ):
            record = self._save(record)
        self._record = record

    def _decide(self, record: DriftRecord, drift: Drift, head: int) -> DriftRecord:
        events = self._fold.version - self._fold.skipped
        trigger = self._policies.decide(drift, events, head, record.triggers)
        if trigger is None:
            return record
        record = with_trigger(record, trigger)
        if trigger.state != "open":
            logger.info("no %s: %s", trigger.action, trigger.outcome)
            return record
        record = self._save(record)  # before it is pulled, so that no crash makes it two
        done = self._policies.pull(trigger)
        logger.warning("%s %s: %s", done.action, done.state, done.outcome)
        return with_trigger(record, done)

    def _save(self, record: DriftRecord) -> DriftRecord:
        record = replace(record, beat_ms=self._clock_ms())
        self._store.save(record)
        return record

    def _scores(self) -> str:
        scores = self._recent.window().known()
        events = int(scores.pop("events", 0))
        return ", ".join(f"{name} {value:.4f}" for name, value in scores.items()) + f" of {events} events"
