"""The replica's thread: many callers, starting, stopping, failing, probes."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl.errors import InvalidEvent, Unavailable
from odl.log import Slice
from odl.replica import Answer, Replica, ReplicaSettings

ROW = {"n": "row"}
WAIT_S = 30.0  # generous: only a failing test waits this long


def replica_on(log: FaultyLog, learner: type[HashLearner] = HashLearner, **settings: Any) -> Replica:
    return Replica(
        learner, learner.from_bytes, log, settings=ReplicaSettings(**settings), replica_id="replica-1"
    )


class HeldLog(FaultyLog):
    """Reads wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.reading = threading.Event(), threading.Event()
        self.create()

    def read(self, version: int, count: int) -> Slice:
        self.reading.set()
        assert self.go.wait(WAIT_S)
        return super().read(version, count)


class FailingLearner(HashLearner):
    """Breaks at the event `crash`."""

    def prequential_one(self, x: Any, y: Any, weight: float = 1.0) -> Any:
        if x["n"] == "crash":
            raise RuntimeError("out of luck")
        return super().prequential_one(x, y, weight)


def test_what_was_appended_before_a_prediction_is_seen_by_it_from_many_threads():
    log = new_log()[0]

    def feed_and_predict(name: int) -> None:
        for number in range(100):
            appended = append(log, f"{name}-{number}")
            answer = replica.predict([ROW]).result(WAIT_S)
            assert answer.version >= appended and not answer.stale

    with replica_on(log) as replica, ThreadPoolExecutor(8) as pool:
        list(pool.map(feed_and_predict, range(8)))
        status = replica.status()
    assert (status.version, status.events, status.lag, status.skipped) == (800, 800, 0, 0)


def test_two_replicas_at_one_version_have_one_digest():
    log = new_log()[0]
    append(log, *"abcdefgh")
    with replica_on(log) as first, replica_on(log) as second:
        first.predict([]).result(WAIT_S)
        second.predict([]).result(WAIT_S)
        left, right = first.status(), second.status()
    assert (left.version, left.digest, left.chain) == (8, right.digest, right.chain)


def test_an_idle_replica_keeps_up_by_itself():
    log = new_log()[0]
    with replica_on(log) as replica:
        append(log, "a")
        follows = threading.Event()

        def look() -> None:
            while not follows.is_set() and replica.health().version < 1:
                follows.wait(0.01)
            follows.set()

        watcher = threading.Thread(target=look)
        watcher.start()
        assert follows.wait(WAIT_S)
        watcher.join()


def test_a_request_made_while_a_read_is_under_way_is_not_answered_by_that_read():
    log = HeldLog()
    with replica_on(log) as replica:
        assert log.reading.wait(WAIT_S)
        append(log, "a")
        answer = replica.predict([ROW])
        log.go.set()
        assert answer.result(WAIT_S).version == 1


def test_status_names_everything():
    log = new_log()[0]
    append(log, "a", "b")
    with replica_on(log) as replica:
        replica.predict([]).result(WAIT_S)
        status = replica.status()
        brief = replica.status(digest=False)
    assert (status.replica_id, status.fold_id, status.log_id) == ("replica-1", "hash-1", log.head().log_id)
    assert (status.ready, status.reason, status.epoch, status.resets) == (True, "", 1, 0)
    assert status.accuracy is not None and status.log_loss is not None and status.auc is None
    assert status.digest and not brief.digest


def test_too_many_rows_are_refused():
    with replica_on(new_log()[0], rows_max=2) as replica:
        with pytest.raises(InvalidEvent, match="at most 2 rows in one request, received 3") as caught:
            replica.predict([ROW] * 3).result(WAIT_S)
        assert caught.value.status == 413
        assert len(replica.predict([ROW] * 2).result(WAIT_S).predictions) == 2


def test_more_callers_than_can_be_served_are_refused_at_once():
    log = HeldLog()
    with replica_on(log, waiting_max=3) as replica:
        assert log.reading.wait(WAIT_S)
        accepted = [replica.predict([ROW]) for _ in range(3)]
        with pytest.raises(Unavailable, match="more than 3 requests"):
            replica.predict([ROW]).result(0)
        log.go.set()
        assert {future.result(WAIT_S).version for future in accepted} == {0}


def test_stop_answers_those_who_wait_and_refuses_later_ones():
    log = HeldLog()
    replica = replica_on(log)
    replica.start()
    assert log.reading.wait(WAIT_S)
    waiting: list[Future[Answer]] = [replica.predict([ROW]) for _ in range(10)]
    stopper = threading.Thread(target=replica.stop, args=(WAIT_S,))
    stopper.start()
    log.go.set()
    stopper.join()
    assert [future.result(0).version for future in waiting] == [0] * 10
    with pytest.raises(Unavailable, match="stopping"):
        replica.predict([ROW]).result(0)
    with pytest.raises(Unavailable, match="stopping"):
        replica.status()
    assert not replica.health().alive


def test_stop_does_not_wait_longer_than_the_deadlines_of_those_who_wait():
    with replica_on(new_log()[0], deadline_s=0.05) as replica:
        never = replica.predict([ROW], min_version=9)
    with pytest.raises(Unavailable, match="expected version 9"):
        never.result(0)


def test_callers_racing_with_stop_always_get_an_answer_or_a_refusal():
    for _ in range(20):
        replica = replica_on(new_log()[0])
        replica.start()
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(replica.predict, [ROW]) for _ in range(40)]
            replica.stop(WAIT_S)
        for future in futures:
            error = future.result(0).exception(WAIT_S)
            assert error is None or isinstance(error, Unavailable)


def test_a_replica_that_was_not_started_says_so():
    replica = replica_on(new_log()[0])
    with pytest.raises(Unavailable, match="not been started"):
        replica.predict([ROW]).result(0)
    assert (replica.health().alive, replica.health().ready) == (False, False)


def test_an_unexpected_error_fails_the_replica_loudly(caplog: pytest.LogCaptureFixture):
    log = new_log()[0]
    with replica_on(log, FailingLearner) as replica:
        replica.predict([ROW]).result(WAIT_S)
        append(log, "crash")
        with pytest.raises(Unavailable, match="the replica failed: RuntimeError: out of luck"):
            replica.predict([ROW]).result(WAIT_S)
        with pytest.raises(Unavailable, match="out of luck"):
            replica.status(timeout_s=WAIT_S)
        health = replica.health()
        assert not health.alive and not health.ready and "out of luck" in health.reason
    assert "gave up" in caplog.text


def test_readiness_follows_the_log():
    log = new_log()[0]
    now = [0.0]
    replica = Replica(HashLearner, HashLearner.from_bytes, log, clock=lambda: now[0])
    with replica:
        replica.predict([]).result(WAIT_S)
        assert replica.health().ready
        log.error = Unavailable("no Redis")
        with pytest.raises(Unavailable):
            replica.predict([]).result(WAIT_S)
        assert replica.health().ready  # a short outage takes nobody out of service
        now[0] = 2.1
        health = replica.health()
        assert (health.alive, health.ready, health.reason) == (True, False, "no Redis")
        log.error = None
        replica.predict([]).result(WAIT_S)
        assert replica.health().ready
