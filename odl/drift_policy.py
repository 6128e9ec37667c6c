"""What a drift sets off: a higher learning rate for a while, a challenger, retraining; checked and tracked.

Each is at most once: a trigger is in the record before it is pulled. The learning rate is part of the spec,
so raising it is a promotion to the same model with a higher rate, folded over the whole history, and ending
it another promotion, back. Both are entries of the log: every replica and every replay has the same rate
at each version.
"""

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
import msgspec
from msgspec.structs import replace

from odl.challenger import Challenger, Challengers
from odl.control import Spec
from odl.drift import ERROR, Drift, DriftSettings, Trigger
from odl.errors import OdlError
from odl.folds import Folds
from odl.lifecycle import Lifecycle

WEBHOOK_S = 10.0  # a webhook only has to accept the task

logger = logging.getLogger(__name__)


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class DriftPolicies:
    """Decides about drifts of one model, pulls triggers, and looks what came of them."""

    settings: DriftSettings
    folds: Folds
    lifecycle: Lifecycle
    base: Spec  # of the model file
    challengers: Challengers
    challenger_spec: Spec | None = None  # of the model file that `challenger` names
    clock_ms: Callable[[], int] = now_ms
    is_behind: bool = False  # a challenger has entries to fold, so look again soon
    _running: dict[int, Challenger] = field(default_factory=dict)  # by version of the drift
    _processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def decide(self, drift: Drift, events: int, head: int, triggers: Sequence[Trigger]) -> Trigger | None:
        """The trigger that a drift sets off; None where only an alert is wanted. One that must not be pulled
        says why in its outcome. `events`: learned so far; `head`: version at the head of the log."""
        settings = self.settings
        action = settings.on_error if drift.field == ERROR else settings.on_input
        if action == "alert":
            return None
        trigger = Trigger(drift=drift, action=action, version=head, time_ms=self.clock_ms())
        pulled = [each for each in triggers if each.state != "refused"]
        last = max((each.version for each in pulled), default=-settings.cool_down)
        if events < settings.events_min:
            return replace(trigger, state="refused", outcome=f"only {events} events were learned")
        if head - drift.version > settings.cool_down:
            why = f"seen {head - drift.version} versions late"
            return replace(trigger, state="refused", outcome=why)
        if any(each.state == "open" for each in pulled):
            return replace(trigger, state="refused", outcome="another trigger is under way")
        if head - last < settings.cool_down:
            return replace(trigger, state="refused", outcome=f"cools down until {last + settings.cool_down}")
        return trigger

    def pull(self, trigger: Trigger) -> Trigger:
        """Do it. What fails is in the outcome; drift goes on being watched."""
        try:
            if trigger.action == "raise_rate":
                return self._raise_rate(trigger)
            if trigger.action == "challenger":
                return replace(trigger, until=trigger.version + self.settings.challenger_events)
            return self._retrain(trigger)
        except (OdlError, OSError, httpx.HTTPError) as error:
            return replace(trigger, state="failed", outcome=f"{type(error).__name__}: {error}")

    def look(self, trigger: Trigger, head: int, scores: str) -> Trigger:
        """An open trigger after a look at what it came to; `scores`: of the model of late, for people."""
        try:
            if trigger.action == "raise_rate":
                return self._lower_rate(trigger, head, scores)
            if trigger.action == "challenger":
                return self._compare(trigger, head)
            return self._retrained(trigger)
        except OdlError as error:
            return replace(trigger, state="failed", outcome=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Leave commands that still run to themselves; challengers go on with the next observer."""
        self._running.clear()
        self._processes.clear()

    def _raise_rate(self, trigger: Trigger) -> Trigger:
        expected = self.folds.log.head()
        spec = self.folds.plan_at(expected.version).spec or self.base
        rate = spec["learning_rate"] * self.settings.rate_factor
        changed = self.lifecycle.promote(
            spec=spec | {"learning_rate": rate}, expected=expected, note=_note(trigger.drift, "higher rate")
        )
        until = changed.version + self.settings.rate_events
        return replace(
            trigger,
            until=until,
            control=changed.version,
            spec_before=spec,
            outcome=f"learning rate {rate:g} from version {changed.version} until {until}",
        )

    def _lower_rate(self, trigger: Trigger, head: int, scores: str) -> Trigger:
        if self.folds.log.counters().control != trigger.control:
            why = f"{trigger.outcome}; somebody decided otherwise"
            return replace(trigger, state="superseded", outcome=why)
        if head < trigger.until:
            return trigger
        note = _note(trigger.drift, "end of higher rate")
        expected = self.folds.log.head()
        changed = self.lifecycle.promote(spec=trigger.spec_before, expected=expected, note=note)
        outcome = f"{trigger.outcome}; then {scores}; as before from version {changed.version}"
        return replace(trigger, state="done", outcome=outcome)

    def _compare(self, trigger: Trigger, head: int) -> Trigger:
        version, settings = trigger.drift.version, self.settings
        if version not in self._running:
            after = 0 if self.challenger_spec else version
            self._running[version] = Challenger(
                f"drift-{version}",
                self.folds,
                self.challenger_spec,
                after=after,
                since=trigger.version,
                origin=settings.challenger,
                clock_ms=self.clock_ms,
            )
        challenger = self._running[version]
        is_there = challenger.step()
        self.is_behind = not is_there
        record = challenger.record()
        if record is None:
            return trigger
        self.challengers.publish(record)
        if not is_there or head < trigger.until:
            return trigger
        del self._running[version]
        self.challengers.remove(record.name)
        spec = f" --spec {settings.challenger}" if settings.challenger else ""
        begun = f" --from {record.after}" if record.after else ""
        advice = f"better: `odl promote{spec}{begun}`" if record.is_better() else "no better"
        both = f"{_shown(record.challenger)} against {_shown(record.champion)}"
        return replace(trigger, state="done", outcome=f"{advice}; {both} on {record.events} events")

    def _retrain(self, trigger: Trigger) -> Trigger:
        body = msgspec.json.encode({"drift": trigger.drift, "version": trigger.version})
        if self.settings.retrain_url:
            headers = {"Content-Type": "application/json"}
            url = self.settings.retrain_url
            answer = httpx.post(url, content=body, headers=headers, timeout=WEBHOOK_S)
            state = "done" if answer.is_success else "failed"
            return replace(trigger, state=state, outcome=f"HTTP {answer.status_code}")
        command = list(self.settings.retrain_command)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert process.stdin is not None
        self._processes[trigger.drift.version] = process
        try:
            process.stdin.write(body)
            process.stdin.close()
        except BrokenPipeError:  # a command need not read why it was started
            logger.debug("%s did not read its input", command[0])
        return replace(trigger, until=trigger.version, outcome=f"process {process.pid} runs")

    def _retrained(self, trigger: Trigger) -> Trigger:
        process = self._processes.get(trigger.drift.version)
        if process is None:
            why = f"{trigger.outcome}; the observer stopped before it ended"
            return replace(trigger, state="failed", outcome=why)
        code = process.poll()
        if code is None:
            return trigger
        del self._processes[trigger.drift.version]
        return replace(trigger, state="failed" if code else "done", outcome=f"exit code {code}")


def _note(drift: Drift, what: str) -> str:
    return (
        f"{what}: drift of {drift.field} at version {drift.version}, {drift.before:.3f} to {drift.after:.3f}"
    )


def _shown(scores: dict[str, float]) -> str:
    measure = "mae" if "mae" in scores else "log_loss"
    return f"{measure.replace('_', '-')} {scores.get(measure, float('nan')):.4f}"
