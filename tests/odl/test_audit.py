"""What one entry of the log meant."""

import pytest
from faulty_log import append, append_bytes, new_log
from operator_kit import ids, operator_on, state_after

from odl.audit import explain
from odl.control import Plan
from odl.errors import Misconfigured


def test_an_entry_is_explained_with_the_prediction_made_before_it():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 5))
    before = state_after(*ids(1, 2)).predict_one({"n": "f-3"})
    operator = operator_on(log, snapshots, lock)
    operator.rollback(4)
    found = explain(operator.folds, 3)
    assert found.event is not None and found.event.id == "f-3"
    assert (found.learned, found.prediction, found.left_out_since) == (True, before, 0)
    assert explain(operator.folds, 5).left_out_since == 6
    entry = explain(operator.folds, 6)
    assert entry.control is not None and (entry.control.to, entry.control.by) == (4, "tester")
    assert not entry.learned and entry.plan == Plan()
    with pytest.raises(Misconfigured, match="from 1 to 6, received 7"):
        explain(operator.folds, 7)


def test_why_an_entry_taught_nothing():
    log, snapshots, lock = new_log()
    append_bytes(log, b"junk", "bad")
    append(log, "a", y="perhaps")
    operator = operator_on(log, snapshots, lock)
    operator.promote(without=frozenset({"rest:bad"}))
    append(log, "b", source="rest:bad")
    reasons = [explain(operator.folds, version).why_not for version in (1, 2, 4)]
    assert reasons[0].startswith("not an event")
    assert "expected 'no' or 'yes'" in reasons[1]
    assert reasons[2] == "its source is left out since version 3"
