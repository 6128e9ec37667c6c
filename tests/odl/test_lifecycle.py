"""Rollbacks and promotions: what the model is after them, on every replica and offline alike."""

import json

import pytest
from faulty_log import append, new_log
from hash_learner import HashLearner
from operator_kit import (
    FIRST,
    SECOND,
    WAIT_S,
    Forgetful,
    ids,
    in_step,
    offline,
    operator_on,
    replica_on,
    state_after,
)

from odl.control import Plan
from odl.errors import HistoryLost, Misconfigured
from odl.log import Append
from odl.snapshotter import save_now

ROW = {"n": "row"}


# Rollback


def test_a_rollback_brings_the_state_of_a_version_back_and_learning_goes_on():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as first, replica_on(log, snapshots) as second:
        append(log, *ids(1, 6))
        done = operator_on(log, snapshots, lock).rollback(4, note="f-5 was wrong")
        assert (done.version, done.control.to, done.control.note) == (7, 4, "f-5 was wrong")
        same = in_step(log, first, second)
        assert same.digest == state_after(*ids(1, 4), skips=3).digest() == done.fold.learner.digest()
        assert (same.events, same.skipped) == (4, 3)
        append(log, *ids(8, 9))
        assert in_step(log, first, second).events == 6


def test_scores_are_those_of_the_version_that_came_back():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 20))
    then = offline(log, to=12).scores
    operator_on(log, snapshots, lock).rollback(12)
    assert offline(log).scores == then


def test_a_rollback_to_nothing():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 3))
    operator_on(log, snapshots, lock).rollback(0)
    with replica_on(log, snapshots) as replica:
        assert in_step(log, replica).events == 0


def test_replicas_that_find_no_snapshot_fold_anew():
    log, _, lock = new_log()
    snapshots = Forgetful(lock)
    with replica_on(log, snapshots, learn_per_turn_max=3) as replica:
        append(log, *ids(1, 30))
        done = operator_on(log, snapshots, lock).rollback(21)
        assert done.snapshot is None
        append(log, *ids(32, 40))
        assert in_step(log, replica).events == 30


def test_a_rollback_of_a_rollback_is_what_was_before():
    log, snapshots, lock = new_log()
    operator = operator_on(log, snapshots, lock)
    append(log, *ids(1, 6))
    operator.rollback(2)
    append(log, *ids(8, 9))
    operator.rollback(6)
    assert offline(log).digest == state_after(*ids(1, 6), skips=4).digest()
    operator.rollback(9)
    teach = [*ids(1, 2), *ids(8, 9)]
    assert offline(log).events == len(teach)
    with replica_on(log, snapshots) as replica, replica_on(log, None) as without_snapshots:
        in_step(log, replica, without_snapshots)


@pytest.mark.parametrize("to", [-1, 3, 4])
def test_only_a_past_version_can_come_back(to: int):
    log, snapshots, lock = new_log()
    append(log, *"abc")
    with pytest.raises(Misconfigured, match=f"expected a version from 0 to 2, received {to}"):
        operator_on(log, snapshots, lock).rollback(to)
    assert log.head().version == 3


def test_what_was_trimmed_away_is_refused_before_anything_enters():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as replica:
        append(log, *ids(1, 8))
        replica.predict([]).result(WAIT_S)
        assert save_now(replica, snapshots, lock, HashLearner.from_bytes)
        append(log, *ids(9, 12))
        log.forget_before(8)
        operator = operator_on(log, snapshots, lock)
        with pytest.raises(HistoryLost, match="begins at version 8"):
            operator.rollback(7)
        assert log.head().version == 12 and lock.holder() is None
        done = operator.rollback(9)
        assert done.fold.learner.digest() == state_after(*ids(1, 9), skips=4).digest()
        replica.predict([]).result(WAIT_S)
        assert replica.status().digest == done.fold.learner.digest()


# Promotion


def test_a_promotion_replaces_the_learner_by_another_fold_of_the_same_log():
    log, snapshots, lock = new_log()
    with replica_on(log, snapshots) as first, replica_on(log, snapshots) as second:
        append(log, *ids(1, 6))
        in_step(log, first, second)
        done = operator_on(log, snapshots, lock).promote(spec=SECOND)
        same = in_step(log, first, second)
        assert (same.fold_id, first.fold_id, same.events) == ("hash-2", "hash-2", 6)
        assert done.snapshot is not None and done.snapshot.fold_id == "hash-2"
        append(log, *ids(8, 9))
        in_step(log, first, second)
        saved = save_now(first, snapshots, lock, HashLearner.from_bytes)
        assert saved is not None and (saved.fold_id, saved.version) == ("hash-2", 9)
    log.reads.clear()
    with replica_on(log, snapshots) as again:
        again.predict([]).result(WAIT_S)
        assert min(log.reads) == 9, "a restart continues from the new learner's snapshot"
        in_step(log, again)


def test_a_source_that_is_left_out_stays_out():
    log, snapshots, lock = new_log()
    append(log, "a", source="rest:good")
    append(log, "b", source="rest:bad")
    operator = operator_on(log, snapshots, lock)
    with replica_on(log, snapshots) as replica:
        operator.promote(without=frozenset({"rest:bad"}))
        append(log, "c", source="rest:bad")
        append(log, "d", source="rest:good")
        assert in_step(log, replica).events == 2
        operator.promote(spec=SECOND)
        assert in_step(log, replica).events == 2
        operator.promote(afresh=True)
        assert in_step(log, replica).events == 4


def test_a_promotion_may_begin_after_a_version_even_where_the_log_was_trimmed():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 10))
    log.forget_before(6)
    done = operator_on(log, snapshots, lock).promote(spec=SECOND, after=7)
    assert (done.version, done.fold.scores.events) == (11, 3)
    with replica_on(log, snapshots) as replica:
        replica.predict([]).result(WAIT_S)
        assert replica.status().digest == done.fold.learner.digest()


def test_a_rollback_undoes_a_promotion_whatever_the_model_file_says_by_then():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 4))
    operator_on(log, snapshots, lock).promote(spec=SECOND)
    append(log, *ids(6, 7))
    operator = operator_on(log, snapshots, lock)
    operator._spec = SECOND
    done = operator.rollback(3)
    assert (done.control.spec, done.control.base, done.control.previous) == (FIRST, FIRST, 5)
    with replica_on(log, snapshots) as replica:
        assert in_step(log, replica).fold_id == "hash-1"
        assert replica.status().digest == state_after(*ids(1, 3), skips=5).digest()


def test_the_same_model_is_not_promoted():
    log, snapshots, lock = new_log()
    append(log, "a")
    operator = operator_on(log, snapshots, lock)
    for same in ({}, {"spec": FIRST}):
        with pytest.raises(Misconfigured, match="expected another model"):
            operator.promote(**same)
    with pytest.raises(Misconfigured, match="expected a version from 0 to 1, received 2"):
        operator.promote(after=2)
    assert log.head().version == 1


def test_a_learner_that_cannot_be_made_is_refused_before_anything_enters():
    log, snapshots, lock = new_log()
    append(log, "a")
    with pytest.raises(HistoryLost, match="cannot make"):
        operator_on(log, snapshots, lock).promote(spec={"no such": "setting"})
    assert log.head().version == 1


def test_what_might_have_been_is_folded_beside_what_is():
    log, _, _ = new_log()
    append(log, *ids(1, 4))
    log.append(Append(json.dumps({"id": "x", "source": "s", "x": {"n": "x"}, "y": "no"}).encode(), "x", "s"))
    assert offline(log, plan=Plan(spec=SECOND, left_out=((1, 2),))).events == 3
    assert offline(log, without=frozenset({"s"})).events == 4
    assert offline(log, plan=Plan(spec=SECOND)).fold_id == "hash-2"
