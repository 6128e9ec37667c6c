"""Drift: what it is called, where it was found, what is to be done about it.

A drift is found in a series of values from 0 to 1 (odl.drift_detectors), so its size is comparable between
fields: the mean of late minus the mean before.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

ERROR = "(error)"  # in place of a field's name: the series of the model's error

Detector: TypeAlias = Literal["adwin", "kswin", "page_hinkley"]
Policy: TypeAlias = Literal["alert", "raise_rate", "challenger", "retrain"]
Series: TypeAlias = Literal["error", "value", "spread", "missing"]
State: TypeAlias = Literal["open", "done", "failed", "refused", "superseded"]

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class DriftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[drift]` table of a model file; read by `odl drift --watch`."""

    error: Detector = "adwin"  # watches the model's error before learning
    inputs: Detector | Literal["none"] = "adwin"  # watches every field
    significance: Share = 0.002  # of one test on the error: ADWIN's delta, KSWIN's alpha
    input_significance: Share = 0.00002  # fields are many, and each has three series
    size_min: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05  # smaller drifts are passed over
    ignore: tuple[str, ...] = ()  # fields that change by nature: dates, counters
    generation: Count = (
        20_000  # versions after which detectors begin anew; they look back one to two of these
    )
    on_error: Policy = "alert"  # what the model's own error sets off
    on_input: Policy = "alert"  # what a field sets off
    events_min: Count = 1_000  # events learned before anything is set off: a new model errs anyway
    cool_down: Count = 5_000  # versions between two triggers, and how old a drift may be to set one off
    rate_factor: Annotated[float, msgspec.Meta(gt=1, le=100)] = 3.0  # raise_rate: times learning_rate …
    rate_events: Count = 5_000  # … for so many versions
    challenger: str = ""  # challenger: a model file; empty: the model that serves, begun anew after the drift
    challenger_events: Count = 2_000  # versions after which challenger and champion are compared
    retrain_url: str = ""  # retrain: POSTed the drift as JSON …
    retrain_command: tuple[str, ...] = ()  # … or run with it on standard input

    def __post_init__(self) -> None:
        retrains = "retrain" in (self.on_error, self.on_input)
        if retrains and bool(self.retrain_url) == bool(self.retrain_command):
            raise ValueError("expected either retrain_url or retrain_command where drift sets off 'retrain'")


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A drift, where it was found."""

    version: int  # of the log entry at which the detector was sure
    field: str  # of the events; `ERROR`: of the model's error
    series: Series  # which aspect of the field
    detector: Detector
    before: float  # mean of the series until then, 0 to 1
    after: float  # mean of its last values

    @property
    def size(self) -> float:
        """How far the mean has moved, -1 to 1."""
        return self.after - self.before


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What a drift set off, and what came of it."""

    drift: Drift  # why
    action: Policy
    version: int  # head of the log when it was decided
    time_ms: int  # when, Unix milliseconds by the observer's clock
    state: State = "open"
    until: int = 0  # version at which an open trigger is looked at again
    control: int = 0  # raise_rate: version of the promotion's entry
    spec_before: dict[str, Any] | None = None  # raise_rate: the spec that comes back
    outcome: str = ""  # what came of it, for people


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of drifts: one document with a limit on each list."""

    log_id: str = ""  # the log that was observed
    seen: int = 0  # version up to which it was observed; what is found up to there again is not new
    observer: str = ""  # who observes
    beat_ms: int = 0  # when it last said so
    drifts: tuple[Drift, ...] = ()  # the newest, oldest first
    counts: tuple[tuple[str, str, int], ...] = ()  # field, detector, drifts ever found
    triggers: tuple[Trigger, ...] = ()  # the newest, oldest first
