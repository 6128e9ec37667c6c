"""Answers in every form, for classes and for numbers."""

import pytest

from odl.errors import Fenced, HistoryLost, InvalidEvent, LogMissing, OdlError, TooFarBehind, Unavailable
from odl.event import Prediction
from odl.feedback import Receipt
from odl.log import Outcome
from seldon.answer import failure_of, prediction_answer, receipt_answer
from seldon.message import Json
from seldon.puid import new_puid
from seldon.request import Form, Request


def answer(form: Form, predictions: list[Prediction], *, single: bool = False, stale: bool = False) -> Json:
    request = Request(rows=[{"a": 1}] * len(predictions), form=form, single=single, puid="p", min_version=0)
    return prediction_answer(request, predictions, version=3, epoch=2, stale=stale)


def test_a_regression_answers_one_column() -> None:
    assert answer(Form.NDARRAY, [1.5, 2.5])["data"] == {"names": ["prediction"], "ndarray": [[1.5], [2.5]]}
    assert answer(Form.JSON, [1.5], single=True)["jsonData"] == {"prediction": 1.5}
    assert answer(Form.TENSOR, [1.5])["data"]["tensor"] == {"shape": [1, 1], "values": [1.5]}


def test_a_classifier_that_knows_no_class_yet_answers_no_columns() -> None:
    assert answer(Form.NDARRAY, [{}])["data"] == {"names": [], "ndarray": [[]]}


def test_a_stale_answer_says_so_and_a_fresh_one_does_not() -> None:
    assert answer(Form.JSON, [1.0], stale=True)["meta"]["tags"] == {"version": 3, "epoch": 2, "stale": True}
    assert "stale" not in answer(Form.JSON, [1.0])["meta"]["tags"]


def test_a_receipt_leaves_out_a_version_that_is_not_known_yet() -> None:
    receipt = receipt_answer("p", [Receipt(Outcome.ACCEPTED, None, "durable")])
    assert receipt["meta"] == {"puid": "p", "tags": {"outcome": "accepted", "durability": "durable"}}


def test_of_several_rows_one_that_is_new_makes_it_accepted() -> None:
    receipts = [Receipt(Outcome.DUPLICATE, 4, "direct"), Receipt(Outcome.ACCEPTED, 9, "direct")]
    message = receipt_answer("p", receipts)
    assert message["meta"]["tags"] == {"outcome": "accepted", "durability": "direct", "version": 9}
    assert message["jsonData"] == {"outcomes": ["duplicate", "accepted"], "versions": [4, 9]}


@pytest.mark.parametrize(
    ("error", "status", "retries"),
    [
        (InvalidEvent("no"), 400, False),
        (InvalidEvent("no", status=422), 422, False),
        (Unavailable("away"), 503, True),
        (TooFarBehind("behind"), 503, True),
        (LogMissing("gone"), 503, True),
        (HistoryLost("lost"), 503, True),
        (Fenced("newer"), 500, False),
    ],
)
def test_errors_map_to_statuses(error: OdlError, status: int, retries: bool) -> None:
    failure = failure_of(error)
    assert failure.status == failure.body["status"]["code"] == status
    assert failure.body["status"]["info"] == str(error)
    assert bool(failure.retry_after_s) is retries


def test_puids_differ_and_sort_by_time() -> None:
    assert new_puid(1_000) < new_puid(2_000)
    assert len({new_puid(1_000) for _ in range(1_000)}) == 1_000
    assert len(new_puid()) == 32
