"""Offline folds: equal to a replica's, at any version, with or without a source."""

import pytest
from faulty_log import append, append_bytes, new_log
from hash_learner import HashLearner

from odl.errors import HistoryLost, Misconfigured
from odl.fold import Fold
from odl.replay import replay
from odl.replica import Replica

WAIT_S = 30.0


def test_a_replay_comes_to_what_a_replica_came_to():
    log = new_log()[0]
    append(log, *"abcdef")
    append_bytes(log, b"not an event", "bad")
    with Replica(HashLearner, HashLearner.from_bytes, log) as replica:
        replica.predict([]).result(WAIT_S)
        status = replica.status()
    done = replay(log, HashLearner)
    assert (done.version, done.chain, done.digest) == (status.version, status.chain, status.digest)
    assert (done.events, done.skipped) == (status.events, 1)
    assert (done.scores.accuracy, done.scores.log_loss) == (status.accuracy, status.log_loss)


def test_any_version_can_be_replayed():
    log = new_log()[0]
    digests = {0: HashLearner().digest()}
    for number in range(1, 6):
        append(log, f"f-{number}")
        digests[number] = replay(log, HashLearner).digest
    for version, digest in digests.items():
        done = replay(log, HashLearner, to=version)
        assert (done.version, done.digest) == (version, digest)
    with pytest.raises(Misconfigured, match="expected a version from 0 to 5, received 6"):
        replay(log, HashLearner, to=6)


def test_a_replay_can_go_on_from_a_fold_that_was_kept():
    log = new_log()[0]
    append(log, *"abc")
    kept = replay(log, HashLearner)
    append(log, *"de")
    start = Fold(HashLearner.from_bytes(kept.learner.to_bytes()), kept.chain)
    assert replay(log, HashLearner, start=start).digest == replay(log, HashLearner).digest


def test_a_source_that_is_left_out_teaches_nothing_but_keeps_the_versions():
    log = new_log()[0]
    append(log, "a", source="rest:good")
    append(log, "b", source="rest:bad")
    append(log, "c", source="rest:good")
    seen = []
    done = replay(
        log, HashLearner, without=frozenset({"rest:bad"}), on_event=lambda learned, _: seen.append(learned)
    )
    assert [(learned.version, learned.event.id) for learned in seen] == [(1, "a"), (3, "c")]
    assert (done.version, done.chain, done.events) == (3, log.head().chain, 2)
    assert done.digest != replay(log, HashLearner).digest


def test_on_event_sees_the_learner_after_each_event():
    log = new_log()[0]
    append(log, *"abc")
    versions = []
    replay(log, HashLearner, on_event=lambda learned, learner: versions.append(learner.version))
    assert versions == [1, 2, 3]


def test_damage_is_named_with_its_version():
    log = new_log()[0]
    append(log, *"abc")
    log.overwrite(2, b"{}")
    with pytest.raises(HistoryLost, match="damaged: expected version 2"):
        replay(log, HashLearner)


def test_a_trimmed_log_asks_for_a_snapshot():
    log = new_log()[0]
    append(log, *"abc")
    log.forget_before(3)
    with pytest.raises(HistoryLost, match="no longer holds version 1: replay from a snapshot"):
        replay(log, HashLearner)


def test_a_history_that_changes_meanwhile_is_noticed():
    log = new_log()[0]
    backup = log.backup()
    append(log, *"abc")

    def rewind(*_: object) -> None:
        log.restore(backup)
        append(log, *"xyz")

    with pytest.raises(HistoryLost, match="changed at version 3"):
        replay(log, HashLearner, on_event=rewind)
