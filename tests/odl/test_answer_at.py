"""Predictions between two turns, by whoever has read the head: only at that head, and in nobody's way."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl import actor as actor_module
from odl.actor import Actor, ReplicaSettings
from odl.errors import InvalidEvent, Unavailable
from odl.event import decode
from odl.follower import Follower
from odl.log import Head, Slice
from odl.mailbox import Answer, Ask
from odl.remembered import MemoryPredictions
from odl.replica import Replica

ROW = {"n": "row"}
ASKED = [([ROW], 0)]
WAIT_S = 60.0  # generous: only a failing test waits this long


def actor_on(log: FaultyLog, learner: type[HashLearner] = HashLearner, **settings: Any) -> Actor:
    """An actor that has seen the log once."""
    follower = Follower(learner, learner.from_bytes, log, None)
    actor = Actor(follower, ReplicaSettings(**settings), lambda: 0.0)
    actor.turn([])
    return actor


def told(actor: Actor, head: Head) -> Answer | Exception | None:
    return actor.answer_at(head, ASKED)[0]


def test_at_the_head_the_answer_is_that_of_a_turn():
    log = new_log()[0]
    append(log, *"abc")
    actor = actor_on(log)
    request = actor.request([ROW])
    actor.turn([request])
    assert told(actor, log.head()) == request.future.result(0)


def test_something_to_learn_is_left_to_a_turn():
    log = new_log()[0]
    append(log, "a")
    actor = actor_on(log)
    append(log, "b")
    assert told(actor, log.head()) is None
    actor.turn([])
    assert told(actor, log.head()) is not None


def test_a_head_that_is_older_than_the_fold_is_left_to_a_turn():
    log = new_log()[0]
    actor = actor_on(log)
    before = log.head()
    append(log, "a")
    actor.turn([])
    assert told(actor, before) is None


def test_the_same_number_on_another_branch_is_left_to_a_turn():
    log = new_log()[0]
    backup = log.backup()
    append(log, "a")
    actor = actor_on(log)
    log.restore(backup)
    append(log, "b")
    assert told(actor, log.head()) is None


def test_the_same_history_in_another_epoch_or_another_log_is_left_to_a_turn():
    log = new_log()[0]
    actor = actor_on(log)
    log.raise_epoch(5)
    assert told(actor, log.head()) is None
    actor.turn([])
    answer = told(actor, log.head())
    assert isinstance(answer, Answer) and answer.epoch == 5
    log.flush()
    log.create()
    assert told(actor, log.head()) is None


def test_a_log_that_was_handed_to_another_fold_is_left_to_a_turn():
    log, _, lock = new_log()
    actor = actor_on(log)
    lease = lock.acquire("operator", 60_000)
    assert lease is not None
    log.adopt("hash-2", lease)
    assert told(actor, log.head()) is None


def test_a_lost_branch_is_never_served_while_the_rest_is_arranged():
    log = new_log()[0]
    backup = log.backup()
    append(log, "a", "b")
    actor = actor_on(log)
    seen = log.head()
    log.restore(backup)
    actor.turn([])  # sees the loss
    assert told(actor, seen) is None
    assert told(actor, log.head()) is None, "nothing is known of the head yet"
    actor.turn([])
    assert isinstance(told(actor, log.head()), Answer)


def test_trouble_is_told_by_a_turn():
    log = new_log()[0]
    actor = actor_on(log)
    head = log.head()
    log.error = Unavailable("no Redis")
    actor.turn([])
    assert told(actor, head) is None


def test_whoever_must_see_a_later_version_waits_for_a_turn():
    log = new_log()[0]
    append(log, "a")
    actor = actor_on(log)
    first, second = actor.answer_at(log.head(), [([ROW], 1), ([ROW], 2)])
    assert isinstance(first, Answer) and second is None


def test_a_row_that_is_refused_is_its_sender_s_trouble_alone():
    log = new_log()[0]
    actor = actor_on(log)
    bad, good = actor.answer_at(log.head(), [([{"poison": 1}], 0), ([ROW], 0)])
    assert isinstance(bad, InvalidEvent) and isinstance(good, Answer)


def test_where_predictions_are_remembered_they_travel_with_a_turn():
    log = new_log()[0]
    follower = Follower(HashLearner, HashLearner.from_bytes, log, None)
    store = MemoryPredictions(ttl_s=60, records_max=10)
    actor = Actor(follower, ReplicaSettings(), lambda: 0.0, store)
    actor.turn([])
    assert told(actor, log.head()) is None


def test_in_the_middle_of_a_turn_nobody_is_answered_beside_it():
    log = new_log()[0]
    actor = actor_on(log)
    inside = Ask(lambda: told(actor, log.head()))
    actor.turn([inside])
    assert inside.future.result(0) is None
    assert told(actor, log.head()) is not None


def test_before_the_first_turn_and_after_the_last_nobody_is_answered():
    log = new_log()[0]
    log.claim("hash-1")
    actor = Actor(Follower(HashLearner, HashLearner.from_bytes, log, None), ReplicaSettings(), lambda: 0.0)
    assert told(actor, log.head()) is None
    actor.turn([])
    assert told(actor, log.head()) is not None
    actor.close()
    assert told(actor, log.head()) is None


def test_a_learner_that_failed_half_way_is_not_asked_again():
    class Torn(HashLearner):
        def prequential_one(self, *event: Any) -> Any:
            raise RuntimeError("half way")

    log = new_log()[0]
    actor = actor_on(log, Torn)
    head = log.head()
    assert told(actor, head) is not None
    append(log, "a")
    with pytest.raises(RuntimeError, match="half way"):
        actor.turn([])
    assert told(actor, head) is None


def test_predictions_that_take_long_are_left_to_a_turn():
    now = 0.0

    class Slow(HashLearner):
        def predict_one(self, x: Any) -> Any:
            nonlocal now
            now += actor_module.SPEND_S_MAX * 0.6
            return super().predict_one(x)

    log = new_log()[0]
    actor = Actor(Follower(Slow, Slow.from_bytes, log, None), ReplicaSettings(), lambda: now)
    actor.turn([])
    answers = actor.answer_at(log.head(), ASKED * 5)
    assert [answer is not None for answer in answers] == [True, True, False, False, False]


def test_who_reads_the_head_and_the_replica_s_thread_answer_by_what_was_appended_before():
    """Both ways at once, while the log grows: every answer is as new as its question, and a fold's own."""
    log = new_log()[0]
    beside = 0

    def feed_and_predict(name: int) -> None:
        nonlocal beside
        for number in range(100):
            appended = append(log, f"{name}-{number}")
            for _ in range(3):
                answer = replica.answer_at(log.head(), ASKED, time.monotonic())[0]
                assert not isinstance(answer, Exception)
                if answer is None:
                    answer = replica.predict([ROW]).result(WAIT_S)
                else:
                    beside += 1
                assert answer.version >= appended and not answer.stale
                answers.append(answer)

    answers: list[Answer] = []
    with (
        Replica(HashLearner, HashLearner.from_bytes, log) as replica,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(feed_and_predict, range(4)))
        until = time.monotonic() + WAIT_S
        while beside == 0 and time.monotonic() < until:  # a thread in its turn is in the way now and then
            beside += replica.answer_at(log.head(), ASKED, time.monotonic())[0] is not None
    assert beside
    learner, expected = HashLearner(), {}
    for entry in log.read(0, 1_000).entries:
        event = decode(entry.payload)
        learner.learn_one(event.x, event.y)
        expected[entry.version] = learner.predict_one(ROW)
    assert all(answer.predictions == [expected[answer.version]] for answer in answers)
    assert replica.answer_at(log.head(), ASKED, time.monotonic()) == [None], "it has stopped"


def test_a_read_that_hangs_holds_up_nobody_beside_the_thread():
    class HeldLog(FaultyLog):
        held = False

        def read(self, version: int, count: int) -> Slice:
            if self.held:
                reading.set()
                assert go.wait(WAIT_S)
            return super().read(version, count)

    go, reading = threading.Event(), threading.Event()
    log = HeldLog()
    log.create()
    with Replica(HashLearner, HashLearner.from_bytes, log) as replica:
        replica.predict([]).result(WAIT_S)
        head = log.head()
        log.held = True
        assert reading.wait(WAIT_S)
        assert replica.answer_at(head, ASKED, 0.0) == [None]  # at once: the read is let go only now
        log.held = False
        go.set()


def test_a_head_seen_beside_the_thread_spares_it_an_idle_turn_and_keeps_the_replica_fresh():
    now = 100.0
    log = new_log()[0]
    actor = Actor(Follower(HashLearner, HashLearner.from_bytes, log, None), ReplicaSettings(), lambda: now)
    actor.turn([])
    assert not actor.is_relieved
    now = 101.0
    actor.answer_at(log.head(), ASKED, began=now)
    assert actor.is_relieved and actor.age_s() == 0.0
    never = actor.request([ROW], min_version=9)
    actor.turn([never])
    assert not actor.is_relieved, "somebody waits"
    never.future.cancel()
    now += actor.settings.deadline_s
    actor.turn([])
    actor.answer_at(log.head(), ASKED, began=now)
    assert actor.is_relieved
    now += 1
    assert not actor.is_relieved, "others write, too"


def test_who_is_behind_is_not_spared_a_turn():
    now = 100.0
    log = new_log()[0]
    settings = ReplicaSettings(learn_per_turn_max=1)
    actor = Actor(Follower(HashLearner, HashLearner.from_bytes, log, None), settings, lambda: now)
    actor.turn([])
    actor.answer_at(log.head(), ASKED, began=now)
    append(log, "a", "b")
    actor.turn([])
    assert actor.lag == 1 and not actor.is_relieved
