"""Control entries: a promotion or a rollback is itself an entry of the log, and says how the log is read.

The model at a version is the fold of the log under the *plan* in force there: which learner, and which
entries teach nothing. A control entry puts another plan in force, from its own version on. A rollback to
version V is the plan of V with everything after V left out; a promotion names another spec, sources that
teach nothing, or a version to begin after. Control entries themselves teach nothing.

>>> rollback = Control(action="rollback", to=3, spec={"width": 8}, base={"width": 8})
>>> decode_control(encode_control(rollback)) == rollback
True
>>> rollback.plan(7).left_out  # versions 4 to 7, should the entry stand at 7
((4, 7),)
"""

from typing import Any, Literal, TypeAlias

import msgspec

from odl.errors import InvalidEvent

Spec: TypeAlias = dict[str, Any]  # what a learner is made of; the core does not look inside
Ranges: TypeAlias = tuple[tuple[int, int], ...]  # (first, last) versions, ascending, apart from each other

ID_PREFIX = "control:"
_MARK = b'{"control":'  # how canonical control entries begin, and no event does


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the log is folded."""

    spec: Spec | None = None  # of the learner; None: that of the model file
    left_out: Ranges = ()  # versions that teach nothing
    without: tuple[str, ...] = ()  # sources whose events teach nothing, sorted
    since: int = 0  # version of the control entry that put it in force, 0: there was none

    def leaves_out(self, version: int) -> bool:
        """Whether the entry at `version` teaches nothing under this plan."""
        return any(first <= version <= last for first, last in self.left_out)

    def reads_as(self, other: "Plan", version: int) -> bool:
        """Whether both read the log's first `version` entries alike, learners aside."""
        return self.without == other.without and clip(self.left_out, version) == clip(other.left_out, version)

    def begins_after(self) -> int:
        """Every entry up to this version is left out."""
        return self.left_out[0][1] if self.left_out and self.left_out[0][0] == 1 else 0


BASE = Plan()  # of a log without control entries


class Control(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What a control entry says. It holds a whole plan, so whoever reads it needs no earlier one."""

    action: Literal["rollback", "promote"]
    spec: Spec  # of the learner from here on
    base: Spec  # of the learner before the log's first control entry, whatever model files say later
    to: int | None = None  # rollback: the version whose state comes back
    left_out: Ranges = ()  # rollback: by the plan of version `to`; promotion: altogether
    without: tuple[str, ...] = ()
    previous: int = 0  # version of the control entry before, 0: this is the first
    by: str = ""  # who did it
    note: str = ""  # why
    time_ms: int = 0  # when, Unix milliseconds by the operator's clock

    def plan(self, version: int) -> Plan:
        """The plan that is in force from `version` on, where this entry stands."""
        left_out = self.left_out
        if self.to is not None:
            left_out = merge((*left_out, (self.to + 1, version)))
        return Plan(spec=self.spec, left_out=left_out, without=self.without, since=version)


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    control: Control


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(_Envelope)


def encode_control(control: Control) -> bytes:
    """Canonical bytes, told from an event's by how they begin."""
    return _encoder.encode(_Envelope(control))


def is_control(payload: bytes) -> bool:
    """Whether these are the bytes of a control entry, good or not."""
    return payload.startswith(_MARK)


def decode_control(payload: bytes) -> Control:
    """The control entry of canonical bytes. Raises `InvalidEvent` for anything else."""
    try:
        return _decoder.decode(payload).control
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidEvent(f"a log payload is not a control entry: {error}", reason="MALFORMED") from error


def control_of(payload: bytes) -> Control | None:
    """The control entry in a payload; None for an event, and for bytes that only look like one, which
    teach nothing and change nothing, on every replica alike."""
    if not is_control(payload):
        return None
    try:
        return decode_control(payload)
    except InvalidEvent:
        return None


def merge(ranges: Ranges) -> Ranges:
    """The same versions in ascending ranges that do not touch each other.

    >>> merge(((4, 9), (1, 2), (3, 5), (12, 11)))
    ((1, 9),)
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def clip(ranges: Ranges, version: int) -> Ranges:
    """What of the ranges is not after `version`."""
    return tuple((first, min(last, version)) for first, last in ranges if first <= version)
