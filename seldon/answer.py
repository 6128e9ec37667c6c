"""Answers in Seldon's form: predictions the way they were asked for, receipts of feedback, failures.

>>> failure_of(InvalidEvent("expected a label", reason="NO_TRUTH")).body["status"]["reason"]
'NO_TRUTH'
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from odl.errors import HistoryLost, InvalidEvent, OdlError, Unavailable
from odl.event import Prediction
from odl.feedback import Receipt
from seldon.message import Json
from seldon.puid import new_puid
from seldon.request import Form, Request

SENTENCE_LENGTH_MAX = 500
NUMBER_NAME = "prediction"  # the one column of a regression


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client is told when something was refused."""

    status: int  # HTTP status
    body: Json  # Seldon's Status
    retry_after_s: int = 0  # 0: trying again does not help

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What HTTP says of it beside status and body."""
        retry = (("retry-after", str(self.retry_after_s)),) if self.retry_after_s else ()
        return retry + ((("www-authenticate", 'Bearer realm="odl"'),) if self.status == 401 else ())


def prediction_answer(
    request: Request, predictions: Sequence[Prediction], *, version: int, epoch: int, stale: bool
) -> Json:
    """The SeldonMessage of predictions, one for each row of `request` and in its form."""
    tags: Json = {"version": version, "epoch": epoch}
    if stale:
        tags["stale"] = True
    message: Json = {"meta": {"puid": request.puid or new_puid(), "tags": tags}}
    named = [row if isinstance(row, dict) else {NUMBER_NAME: row} for row in predictions]
    if request.form in (Form.NDARRAY, Form.TENSOR):
        names = list(named[0])
        rows = [list(row.values()) for row in named]
        if request.form is Form.NDARRAY:
            message["data"] = {"names": names, "ndarray": rows}
        else:
            values = [value for row in rows for value in row]
            message["data"] = {"names": names, "tensor": {"shape": [len(rows), len(names)], "values": values}}
    else:
        answer = named[0] if request.single else named
        message[request.form.value] = (
            answer if request.form is Form.JSON else msgspec.json.encode(answer).decode()
        )
    return message


def receipt_answer(puid: str, receipts: Sequence[Receipt]) -> Json:
    """The SeldonMessage of feedback: its outcome, its version where known, and how it was kept. Of several
    rows, `tags` tells the outcome that is news (accepted) and the newest version, `jsonData` every row's."""
    outcomes = [receipt.outcome for receipt in receipts]
    versions = [receipt.version for receipt in receipts]
    known = [version for version in versions if version is not None]
    tags: Json = {
        "outcome": "accepted" if "accepted" in outcomes else str(outcomes[0]),
        "durability": receipts[0].durability,
    }
    if known:
        tags["version"] = max(known)
    message: Json = {"meta": {"puid": puid, "tags": tags}}
    if len(receipts) > 1:
        message["jsonData"] = {"outcomes": [str(outcome) for outcome in outcomes], "versions": versions}
    return message


def failure_of(error: OdlError) -> Failure:
    """The answer to an error: the client's mistakes are 4xx, servers that are away are 503."""
    if isinstance(error, InvalidEvent):
        body = status_body(error.status, str(error), error.reason)
        return Failure(error.status, body, error.retry_after_s)
    if isinstance(error, HistoryLost):
        return Failure(503, status_body(503, str(error), "HISTORY_LOST"), 1)
    if isinstance(error, Unavailable):
        return Failure(503, status_body(503, str(error), "UNAVAILABLE"), error.retry_after_s)
    return Failure(500, status_body(500, str(error), "INTERNAL"))


def status_body(code: int, info: str, reason: str) -> Json:
    """Seldon's Status in the message that answers a refused request. A sentence may quote what was received:
    it stays one line, and short."""
    line = "".join(letter if letter.isprintable() else "?" for letter in info[:SENTENCE_LENGTH_MAX])
    return {"status": {"code": code, "info": line, "reason": reason, "status": "FAILURE"}}
