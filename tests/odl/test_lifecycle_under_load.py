"""Rollbacks and promotions while others write, decide or fail: one winner, one meaning."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faulty_log import FaultyLog, append, append_bytes, new_log
from hash_learner import HashLearner
from operator_kit import SECOND, WAIT_S, Forgetful, ids, in_step, learner_of, offline, operator_on, replica_on

from odl.actor import Actor, ReplicaSettings
from odl.errors import Superseded, TooFarBehind
from odl.fold import Fold
from odl.follower import Follower
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots

ROW = {"n": "row"}


def test_of_two_operators_who_saw_the_same_head_one_wins():
    log, snapshots, lock = new_log()
    append(log, *ids(1, 5))
    seen = log.head()
    operator_on(log, snapshots, lock, "first").rollback(3, expected=seen)
    with pytest.raises(Superseded):
        operator_on(log, snapshots, lock, "second").promote(spec=SECOND, expected=seen)
    assert (log.head().version, lock.holder()) == (6, None)


class Turns:
    """An actor whose turns and clock the test controls, and which finds no snapshots."""

    def __init__(self, log: FaultyLog, **settings: Any) -> None:
        self.now = 0.0
        follower = Follower(HashLearner, HashLearner.from_bytes, log, None, learner_of)
        self.actor = Actor(follower, ReplicaSettings(**settings), lambda: self.now)

    def take(self, count: int) -> Fold:
        for _ in range(count):
            self.now += 0.3
            self.actor.turn([])
        return self.actor.follower.fold


def test_while_a_replica_folds_anew_the_policy_decides_who_is_answered():
    log, _, lock = new_log()
    append(log, *ids(1, 30))
    refusing = Turns(log, learn_per_turn_max=3)
    stale = Turns(log, learn_per_turn_max=3, policy="stale")
    before = refusing.take(20), stale.take(20)
    done = operator_on(log, Forgetful(lock), lock).rollback(10)
    waiting = [each.actor.request([ROW]) for each in (refusing, stale)]
    for each, request, fold in zip((refusing, stale), waiting, before, strict=True):
        each.actor.turn([request])
        assert each.actor.follower.fold is fold, "the old fold stays until the new one is there"
        assert not request.future.done()
        each.now += 2.1  # past its deadline
        each.actor.turn([])
    with pytest.raises(TooFarBehind):
        waiting[0].future.result(0)
    answer = waiting[1].future.result(0)
    assert (answer.version, answer.stale) == (30, True)
    for each in (refusing, stale):
        assert each.take(20).learner.digest() == done.fold.learner.digest() == offline(log).digest


def test_a_rewind_while_a_replica_folds_anew_is_noticed():
    log, _, lock = new_log()
    append(log, *ids(1, 20))
    backup = log.backup()
    replica = Turns(log, learn_per_turn_max=4)
    replica.take(10)
    operator_on(log, Forgetful(lock), lock).rollback(15)
    replica.take(1)
    log.restore(backup)
    append(log, *ids(101, 105))
    fold = replica.take(30)
    assert (fold.version, fold.learner.digest()) == (25, offline(log).digest)


def test_bytes_that_look_like_a_control_entry_change_nothing():
    log, snapshots, _ = new_log()
    append(log, "a")
    append_bytes(log, b'{"control":{"action":"explode"}}', "bad")
    append(log, "b")
    with replica_on(log, snapshots) as replica:
        assert in_step(log, replica).events == 2


@pytest.fixture(params=["memory", "valkey"])
def parts(request: pytest.FixtureRequest, model_name: str) -> tuple[Any, Any, Any]:
    """Log, snapshots and lock."""
    if request.param == "memory":
        return new_log()
    client = request.getfixturevalue("redis_client")
    log = RedisLog(client, model_name)
    log.create()
    return log, RedisSnapshots(client, model_name), RedisLock(client, model_name)


def test_ten_changes_under_load_have_one_winner_each_and_one_meaning(parts: tuple[Any, Any, Any]):
    log, snapshots, lock = parts
    stop = threading.Event()

    def send(sender: int) -> None:
        number = 0
        while not stop.is_set() and number < 2_000:
            number += 1
            append(log, f"{sender}-{number}", source=f"rest:{sender}")

    append(log, *ids(1, 50))
    with (
        replica_on(log, snapshots) as first,
        replica_on(log, snapshots) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        senders = [pool.submit(send, sender) for sender in range(2)]
        won = compete(log, snapshots, lock, rounds=10)
        stop.set()
        for sender in senders:
            sender.result(WAIT_S)
        assert won == [1] * 10
        in_step(log, first, second)
    with replica_on(log, None) as without_snapshots:
        in_step(log, without_snapshots)


def compete(log: Any, snapshots: Any, lock: Any, rounds: int) -> list[int]:
    """Two operators decide on what they both saw; how many won in each round."""
    operators = [operator_on(log, snapshots, lock, name) for name in ("one", "two")]

    def decide(who: int, number: int, seen: Any, barrier: threading.Barrier) -> bool:
        barrier.wait(WAIT_S)
        try:
            if (number + who) % 2:
                operators[who].rollback(max(1, seen.version - 10), expected=seen)
            else:
                spec = {"fold_id": f"hash-{number}-{who}"}
                operators[who].promote(spec=spec, after=seen.version // 2, afresh=True, expected=seen)
        except Superseded:
            return False
        return True

    won = []
    with ThreadPoolExecutor(2) as pool:
        for number in range(rounds):
            barrier, seen = threading.Barrier(2), log.head()
            tries = [pool.submit(decide, who, number, seen, barrier) for who in range(2)]
            won.append(sum(each.result(WAIT_S) for each in tries))
    return won
