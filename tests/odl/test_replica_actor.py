"""One turn of the actor, in virtual time: what is answered, by which version, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
from faulty_log import FaultyLog, append, append_bytes, new_log
from hash_learner import HashLearner

from odl.actor import Actor, ReplicaSettings
from odl.errors import HistoryLost, InvalidEvent, LogMissing, OdlError, OtherFold, TooFarBehind, Unavailable
from odl.fold import Fold
from odl.follower import Follower
from odl.mailbox import Answer, Ask, Predict
from odl.snapshots import SnapshotStore
from odl.snapshotter import capture, describe

ROW = {"n": "row"}


class World:
    """An actor, its log and its clock."""

    def __init__(self, snapshots: SnapshotStore | None = None, log: FaultyLog | None = None, **settings: Any):
        self.log = log or new_log()[0]
        self.now = 0.0
        self.follower = Follower(HashLearner, HashLearner.from_bytes, self.log, snapshots)
        self.actor = Actor(self.follower, ReplicaSettings(**settings), lambda: self.now)

    def predict(self, min_version: int = 0, turns: int = 10) -> Answer:
        """One request, and turns until it is answered."""
        request = self.actor.request([ROW], min_version)
        self.actor.turn([request])
        for _ in range(turns):
            if request.future.done():
                break
            self.actor.turn([])
        return request.future.result(timeout=0)

    def refusal(self, min_version: int = 0) -> OdlError:
        with pytest.raises(OdlError) as caught:
            self.predict(min_version)
        return caught.value

    def fold(self) -> Fold:
        """What an independent fold of the whole log gives."""
        fold = Fold(HashLearner())
        for entry in self.log.read(0, 10_000).entries:
            fold.take(entry)
        return fold

    def assert_in_step(self) -> None:
        expected, found = self.fold(), self.follower.fold
        assert (found.version, found.chain) == (expected.version, expected.chain)
        assert found.learner.digest() == expected.learner.digest()


def test_a_prediction_is_made_by_everything_appended_before_it():
    world = World()
    for event_id in "abc":
        version = append(world.log, event_id)
        answer = world.predict()
        assert (answer.version, answer.epoch, answer.stale) == (version, 1, False)
        assert answer.predictions == [world.fold().learner.predict_one(ROW)]
    world.assert_in_step()


def test_everybody_who_waits_shares_one_read_of_the_log():
    world = World()
    append(world.log, "a")
    world.predict()
    before = len(world.log.reads)
    requests = [world.actor.request([ROW]) for _ in range(64)]
    world.actor.turn(list(requests))
    assert len(world.log.reads) == before + 1
    assert {request.future.result(0).version for request in requests} == {1}


def test_a_backlog_is_learned_in_bounded_turns_and_answered_at_the_head_of_the_first():
    world = World(learn_per_turn_max=3)
    append(world.log, *"abcdefgh")
    request = world.actor.request([ROW])
    assert world.actor.turn([request]) == 0.0
    assert world.follower.fold.version == 3 and not request.future.done()
    append(world.log, "later")  # arrives after the request, so it need not wait for this one
    world.actor.turn([])
    world.actor.turn([])
    assert request.future.result(0).version == 9
    world.assert_in_step()


def test_turns_grow_until_learning_takes_its_time_in_each():
    world = World()
    append(world.log, *map(str, range(20_000)))
    step, seconds = world.follower.step, iter((0.125, 0.25, 1.0, 1.0, 0.0, 0.0))

    def timed(count: int) -> object:
        world.now += next(seconds)
        return step(count)

    world.follower.step = timed
    versions = []
    for _ in range(6):
        world.actor.turn([])
        versions.append(world.follower.fold.version)
    sizes = [after - before for before, after in zip([0, *versions], versions, strict=False)]
    assert sizes == [1024, 2048, 2048, 512, 128, 1024]  # as far as 0.25 s reaches, at most 8 times the last


def test_what_a_snapshot_brings_says_nothing_of_how_quickly_is_learned():
    log, snapshots, lock = new_log()
    first = World(snapshots, log)
    append(log, *map(str, range(5_000)))
    for _ in range(10):
        first.actor.turn([])
    snapshot_of(first, snapshots, lock)
    append(log, *map(str, range(5_000, 5_500)))
    second = World(snapshots, log)
    for _ in range(3):
        second.actor.turn([])
    assert second.follower.fold.version == 5_500
    append(log, *map(str, range(5_500, 8_500)))
    second.actor.turn([])
    assert second.follower.fold.version == 5_500 + 1024  # no turn was full yet


def test_a_request_that_arrives_later_waits_for_a_later_head():
    world = World(learn_per_turn_max=1)
    append(world.log, "a", "b")
    early = world.actor.request([ROW])
    world.actor.turn([early])
    append(world.log, "c")
    late = world.actor.request([ROW])
    world.actor.turn([late])
    assert early.future.result(0).version == 2 and not late.future.done()
    world.actor.turn([])
    assert late.future.result(0).version == 3


def test_a_backlog_beyond_the_deadline_is_refused():
    world = World(learn_per_turn_max=1, deadline_s=2.0)
    append(world.log, *"abc")
    request = world.actor.request([ROW])
    world.actor.turn([request])
    world.now = 2.0
    world.actor.turn([])
    with pytest.raises(TooFarBehind, match="at version 2, 1 behind"):
        request.future.result(0)


def test_min_version_waits_until_the_event_is_there():
    world = World()
    append(world.log, "a")
    request = world.actor.request([ROW], min_version=2)
    world.actor.turn([request])
    assert not request.future.done()
    append(world.log, "b")
    world.actor.turn([])
    assert request.future.result(0).version == 2


@pytest.mark.parametrize("policy", ["refuse", "stale"])
def test_min_version_that_never_comes_is_refused_at_the_deadline_by_any_policy(policy: str):
    world = World(policy=policy, deadline_s=1.0)
    append(world.log, "a")
    request = world.actor.request([ROW], min_version=7)
    world.actor.turn([request])
    world.now = 1.0
    world.actor.turn([])
    with pytest.raises(TooFarBehind, match="expected version 7 or later, the log ends at 1"):
        request.future.result(0)


def test_while_the_log_is_away_predictions_are_refused():
    world = World()
    append(world.log, "a")
    world.predict()
    world.log.error = Unavailable("no Redis", retry_after_s=3)
    refusal = world.refusal()
    assert isinstance(refusal, Unavailable) and refusal.retry_after_s == 3
    world.log.error = None
    append(world.log, "b")
    assert world.predict().version == 2


def test_the_stale_policy_answers_for_so_long_and_says_so():
    world = World(policy="stale", stale_for_s=60.0)
    append(world.log, "a")
    world.predict()
    world.log.error = Unavailable("no Redis")
    world.now = 60.0
    assert world.predict() == Answer([world.follower.fold.learner.predict_one(ROW)], 1, 1, stale=True)
    assert isinstance(world.refusal(min_version=2), Unavailable)
    world.now = 60.1
    assert isinstance(world.refusal(), Unavailable)
    world.log.error = None
    assert not world.predict().stale


def test_a_replica_that_never_reached_the_head_has_nothing_stale_to_answer():
    world = World(policy="stale")
    world.log.error = Unavailable("no Redis")
    assert isinstance(world.refusal(), Unavailable)


def test_a_missing_log_is_not_answered_stale():
    world = World(policy="stale")
    append(world.log, "a")
    world.predict()
    world.log.flush()
    assert isinstance(world.refusal(), LogMissing)


def test_a_rewound_log_raises_the_epoch_and_its_lost_branch_is_never_served():
    world = World()
    append(world.log, "a")
    backup = world.log.backup()
    append(world.log, "b", "c")
    assert world.predict().version == 3
    world.log.restore(backup)
    append(world.log, "x", "y")  # as many entries as were lost: only chains tell
    answer = world.predict()
    assert (answer.version, answer.epoch, world.follower.resets) == (3, 2, 1)
    world.assert_in_step()


def test_a_rewind_between_two_turns_of_one_request_answers_by_the_new_branch():
    world = World(learn_per_turn_max=2)
    append(world.log, "a")
    backup = world.log.backup()
    append(world.log, *"bcdef")
    request = world.actor.request([ROW])
    world.actor.turn([request])
    world.log.restore(backup)
    while not request.future.done():
        world.actor.turn([])
    assert request.future.result(0).version == 1
    assert request.future.result(0).epoch == 2
    world.assert_in_step()


def test_a_request_does_not_wait_for_versions_that_a_rewind_took_away():
    world = World(learn_per_turn_max=1)
    append(world.log, "a", "b")
    backup = world.log.backup()
    append(world.log, *"cdef")
    request = world.actor.request([ROW])
    world.actor.turn([request])
    world.log.restore(backup)  # what was learned so far is still there, so nothing has to be rebuilt
    world.actor.turn([])
    assert (request.future.result(0).version, world.follower.resets) == (2, 0)


def test_a_rewind_is_noticed_even_if_the_own_entry_was_trimmed_as_well():
    world = World()
    append(world.log, *"ab")
    backup = world.log.backup()
    append(world.log, "c")
    world.predict()
    world.log.restore(backup)
    append(world.log, *"xy")
    world.log.forget_before(4)
    assert isinstance(world.refusal(), HistoryLost | TooFarBehind)
    assert (world.follower.resets, world.log.head().epoch) == (1, 2)


def test_a_server_that_fails_in_the_middle_of_a_rewind_does_not_revive_the_lost_branch():
    world = World(policy="stale")
    backup = world.log.backup()
    append(world.log, "a", "b")
    world.predict()
    world.log.restore(backup)
    world.actor.turn([])  # sees the loss
    world.log.error = Unavailable("no Redis")
    assert isinstance(world.refusal(), Unavailable)
    world.log.error = None
    assert (world.predict().version, world.follower.epoch) == (0, 2)


def test_a_log_made_anew_is_another_history_even_at_the_same_version():
    world = World()
    append(world.log, "a")
    world.predict()
    world.log.flush()
    world.log.create()
    append(world.log, "a")
    assert (world.predict().version, world.follower.epoch, world.follower.resets) == (1, 2, 1)
    world.assert_in_step()


def test_a_rewind_that_forgot_an_epoch_raises_it_beyond_that_one():
    world = World()
    append(world.log, "a")
    backup = world.log.backup()
    world.log.raise_epoch(5)
    assert world.predict().epoch == 5
    world.log.restore(backup)
    assert world.predict().epoch == 6
    assert world.log.head().epoch == 6


def snapshot_of(world: World, store: SnapshotStore, lock: Any) -> None:
    captured = capture(world.follower)
    lease = lock.acquire("test", 1000)
    store.save(describe(captured, HashLearner.from_bytes), captured.data, lease)
    lock.release(lease)


def test_a_new_replica_continues_from_the_newest_snapshot_bit_for_bit():
    log, snapshots, lock = new_log()
    first = World(snapshots, log)
    append(log, *"abcde")
    first.predict()
    snapshot_of(first, snapshots, lock)
    append(log, *"fg")
    second = World(snapshots, log)
    log.reads.clear()
    assert second.predict().version == first.predict().version == 7
    assert min(log.reads) == 5  # nothing before the snapshot was folded again
    assert second.follower.fold.scores == first.follower.fold.scores
    second.assert_in_step()


def test_after_a_rewind_only_a_snapshot_on_the_remaining_history_is_used():
    log, snapshots, lock = new_log()
    world = World(snapshots, log)
    append(log, *"ab")
    world.predict()
    snapshot_of(world, snapshots, lock)
    backup = log.backup()
    append(log, *"cd")
    world.predict()
    snapshot_of(world, snapshots, lock)
    log.restore(backup)
    append(log, *"xyz")
    log.forget_before(3)
    assert (world.predict().version, world.follower.epoch) == (5, 2)
    expected = Fold.from_bytes(snapshots.load(snapshots.list()[-1]), HashLearner.from_bytes)
    for entry in log.read(2, 100).entries:
        expected.take(entry)
    assert world.follower.fold.learner.digest() == expected.learner.digest()


def test_a_replica_stopped_past_a_trim_rejoins_by_a_snapshot():
    log, snapshots, lock = new_log()
    sleeper, awake = World(snapshots, log), World(snapshots, log)
    append(log, *"ab")
    sleeper.predict()
    append(log, *"cdef")
    awake.predict()
    snapshot_of(awake, snapshots, lock)
    append(log, "g")
    log.forget_before(6)
    assert sleeper.predict().version == 7
    assert sleeper.follower.fold.learner.digest() == awake_digest(awake)
    assert sleeper.follower.epoch == 1


def awake_digest(world: World) -> str:
    world.predict()
    return world.follower.fold.learner.digest()


def test_a_replica_whose_own_entry_was_just_trimmed_goes_on_by_the_next_one():
    world = World()
    append(world.log, *"ab")
    world.predict()
    append(world.log, "c")
    world.log.forget_before(3)
    assert world.predict().version == 3
    assert world.follower.resets == 0


def test_a_trimmed_log_without_a_snapshot_is_refused_until_there_is_one():
    log, snapshots, lock = new_log()
    helper = World(snapshots, log)
    append(log, *"abcd")
    helper.predict()
    log.forget_before(3)
    world = World(snapshots, log, policy="stale", retry_every_s=0.5)
    assert isinstance(world.refusal(), HistoryLost)
    snapshot_of(helper, snapshots, lock)
    assert isinstance(world.refusal(), HistoryLost)  # rebuilding is not tried at every request
    world.now = 0.5
    assert world.predict().version == 4


def test_damaged_and_foreign_snapshots_are_passed_over():
    log, snapshots, lock = new_log()
    world = World(snapshots, log)
    for ids in ("ab", "cd", "ef"):
        append(log, *ids)
        world.predict()
        snapshot_of(world, snapshots, lock)
    newest, middle, _ = snapshots.list()
    snapshots._stored[newest] = snapshots._stored[newest][:-1]
    snapshots._stored[replace(middle, digest="another")] = snapshots._stored.pop(middle)
    other = World(snapshots, log)
    other.follower.step(0)
    assert other.follower.fold.version == 2
    assert other.predict().version == 6
    other.assert_in_step()
    foreign = Follower(lambda: HashLearner(fold_id="hash-2"), HashLearner.from_bytes, log, snapshots)
    assert foreign.folds.newest(log.head().log_id) is None


def test_damage_in_the_log_is_found_at_its_version_and_not_learned():
    world = World()
    append(world.log, *"abc")
    world.log.overwrite(2, b'{"id":"b","source":"rest:test","x":{},"y":"no"}')
    assert "damaged: expected version 2" in str(world.refusal())
    assert world.follower.fold.version == 1
    assert world.log.head().epoch == 1


def test_damage_is_passed_by_a_newer_snapshot_only():
    log, snapshots, lock = new_log()
    early, late = World(snapshots, log), World(snapshots, log)
    append(log, "a")
    early.predict()
    snapshot_of(early, snapshots, lock)
    append(log, *"bcd")
    late.predict()
    log.overwrite(2, b"{}")
    assert isinstance(early.refusal(), HistoryLost)
    snapshot_of(late, snapshots, lock)
    early.now = 1.0
    assert early.predict().version == 4


def test_payloads_that_teach_nothing_are_passed_over_alike_everywhere():
    world = World()
    append(world.log, "a")
    append_bytes(world.log, b"not an event", "bad-1")
    append_bytes(world.log, b'{"id":"p","x":{"poison":1},"y":"no"}', "bad-2")
    append_bytes(world.log, b'{"id":"q","x":{},"y":"maybe"}', "bad-3")
    append(world.log, "b")
    assert world.predict().version == 5
    assert world.follower.fold.skipped == 3
    assert world.follower.fold.scores.events == 2
    world.assert_in_step()


def test_a_learner_that_changed_before_it_refused_is_not_trusted():
    class Torn(HashLearner):
        def prequential_one(self, *event: Any) -> Any:
            self.skip_one()
            raise ValueError("half way")

    log = new_log()[0]
    append(log, "a")
    follower = Follower(Torn, Torn.from_bytes, log, None)
    with pytest.raises(ValueError, match="half way"):
        follower.step(10)


def test_a_row_that_the_learner_refuses_is_its_sender_s_trouble_alone():
    world = World()
    good, bad = world.actor.request([ROW]), world.actor.request([ROW, {"poison": 1}])
    world.actor.turn([bad, good])
    with pytest.raises(InvalidEvent, match="poison"):
        bad.future.result(0)
    assert good.future.result(0).version == 0


def test_a_bug_in_predicting_reaches_the_caller_and_leaves_the_replica_alive():
    world = World()
    bad = Predict([{"n": object()}], 0, 1.0)  # type: ignore[dict-item]
    world.actor.turn([bad])
    with pytest.raises(TypeError):
        bad.future.result(0)
    assert world.predict().version == 0


def test_a_caller_who_gave_up_is_passed_over():
    world = World()
    gone, here = world.actor.request([ROW]), world.actor.request([ROW])
    assert gone.future.cancel()
    world.actor.turn([gone, here])
    assert here.future.done()


def test_an_ask_is_run_after_learning_and_gets_its_own_error():
    world = World()
    append(world.log, "a")
    seen, failing = Ask(lambda: world.follower.fold.version), Ask(lambda: 1 // 0)
    world.actor.turn([failing, seen])
    assert seen.future.result(0) == 1
    with pytest.raises(ZeroDivisionError):
        failing.future.result(0)


def test_the_digest_is_hashed_once_a_version():
    hashed = []

    class Counting(HashLearner):
        def digest(self) -> str:
            hashed.append(self.version)
            return super().digest()

    log = new_log()[0]
    actor = Actor(Follower(Counting, Counting.from_bytes, log, None), ReplicaSettings(), lambda: 0.0)
    for event_id in "ab":
        append(log, event_id)
        actor.turn([])
        assert actor.digest() == actor.digest()
    assert hashed == [1, 2]


def test_who_waits_is_not_answered_by_the_same_number_of_another_branch():
    """The log was at version 6 of one branch, then another server took over with a longer one."""
    world = World(learn_per_turn_max=3)
    append(world.log, "c1", "c2", "c3")
    common = world.log.backup()
    append(world.log, *(f"a{number}" for number in range(17)))
    longer = world.log.backup()
    world.log.restore(common)
    append(world.log, "b1", "b2", "b3")
    request = world.actor.request([ROW])
    world.actor.turn([request])
    assert not request.future.done(), "the common part is learned, version 6 is not"
    world.log.restore(longer)
    versions = []
    while not request.future.done():
        world.actor.turn([])
        versions.append(world.follower.fold.version)
    assert request.future.result(0).version == 20, "all of the branch that lives"
    assert versions[0] == 6, "it passed the number that it waited for"
    world.assert_in_step()


def test_a_log_of_another_fold_is_neither_learned_nor_served_even_stale():
    log, _, lock = new_log()
    lease = lock.acquire("operator", 60_000)
    assert lease is not None
    world = World(log=log, policy="stale")
    append(log, "a")
    assert world.predict().version == 1
    assert log.head().fold_id == "hash-1", "the first replica claims the log"
    log.adopt("hash-2", lease)
    append(log, "b")
    refusal = world.refusal()
    assert isinstance(refusal, OtherFold)
    assert "belongs to fold hash-2, this replica computes hash-1" in str(refusal)
    assert world.follower.fold.version == 1
    log.adopt("hash-1", lease)
    assert world.predict().version == 2, "it was handed back"


def test_the_first_fold_claims_again_a_log_that_lost_its_claim():
    world = World()
    unclaimed = world.log.backup()
    append(world.log, "a")
    world.predict()
    world.log.restore(unclaimed)
    append(world.log, "b")
    assert world.predict().version == 1
    assert world.log.head().fold_id == "hash-1"
