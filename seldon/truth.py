"""The truth of a feedback: one label for each row, out of any of Seldon's forms."""

from collections.abc import Sequence

from msgspec import UNSET

from odl.errors import InvalidEvent
from odl.event import Label
from seldon.message import Data, Feedback, SeldonMessage, Tensor, malformed
from seldon.puid import check_puid
from seldon.request import Form, reshape, the_form


def read_labels(truth: SeldonMessage) -> list[Label]:
    """The labels of a truth: `ndarray` ["late"] or [["late"]], a `tensor` of numbers, `jsonData` (one label
    or a list), or `strData` (the class name itself). Raises `InvalidEvent`."""
    form = the_form(truth)
    if form is Form.STRING:
        values: Sequence[object] = [truth.strData]
    elif form is Form.JSON:
        values = truth.jsonData if isinstance(truth.jsonData, list) else [truth.jsonData]
    else:
        assert isinstance(truth.data, Data)
        values = _column(truth.data)
    if not values:
        raise _no_truth()
    return [_label(value) for value in values]


def read_truth(feedback: Feedback) -> list[Label]:
    """The labels of a feedback. Raises `InvalidEvent` when it has none: a reward alone teaches nothing."""
    if not isinstance(feedback.truth, SeldonMessage) or (
        feedback.truth.data is UNSET and feedback.truth.jsonData is UNSET and feedback.truth.strData is UNSET
    ):
        raise _no_truth()
    return read_labels(feedback.truth)


def read_id(feedback: Feedback, key: str) -> str:
    """The event id: meta.puid of the request or of the response, or the header `Idempotency-Key` (`key`).
    Raises `InvalidEvent` when there is none, or when they differ."""
    parts = [part for part in (feedback.request, feedback.response) if isinstance(part, SeldonMessage)]
    ids = {part.meta.puid for part in parts if part.meta.puid} | ({key} if key else set())
    if not ids:
        raise InvalidEvent(
            "expected an event id in request.meta.puid or response.meta.puid, received none: "
            "send the puid that came with the prediction",
            reason="NO_ID",
        )
    if len(ids) > 1:
        raise InvalidEvent(
            f"expected one event id, received {len(ids)} different ones in request.meta.puid, "
            "response.meta.puid and Idempotency-Key",
            reason="CONFLICTING_IDS",
        )
    event_id = ids.pop()
    check_puid(event_id)
    return event_id


def _column(data: Data) -> list[object]:
    rows: Sequence[object] = data.ndarray if isinstance(data.ndarray, list) else []
    if isinstance(data.tensor, Tensor):
        tensor = data.tensor
        rows = reshape(Tensor([*tensor.shape, 1], tensor.values) if len(tensor.shape) == 1 else tensor)
    column: list[object] = []
    for row in rows:
        if isinstance(row, list) and len(row) != 1:
            raise InvalidEvent(
                f"expected one label in each row of the truth, received {len(row)}: send the class name "
                "or the number itself",
                reason="BAD_TRUTH",
            )
        column.append(row[0] if isinstance(row, list) else row)
    return column


def _label(value: object) -> Label:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # protobuf and tensors make every number a float; 1.0 and 1 name one class
    if isinstance(value, str | int | float):
        return value
    raise malformed("expected each label of the truth to be a class name or a number")


def _no_truth() -> InvalidEvent:
    return InvalidEvent(
        "expected the label in truth, received none: a reward alone teaches nothing", reason="NO_TRUTH"
    )
