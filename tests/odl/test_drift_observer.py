"""The observer records each drift once, pulls triggers once, and tracks what came of them."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from hash_learner import HashLearner
from msgspec.structs import replace

from odl.challenger import Challenger, RedisChallengers
from odl.control import control_of
from odl.drift import ERROR, Drift, DriftSettings, Trigger
from odl.drift_observer import DriftObserver
from odl.drift_policy import DriftPolicies
from odl.drift_store import DRIFTS_MAX, MemoryDrifts, RedisDrifts, with_drifts
from odl.errors import Misconfigured, Superseded
from odl.event import Event, Features, Label, Prediction, encode
from odl.folds import Folds
from odl.lifecycle import Lifecycle
from odl.log import Append
from odl.memory import MemoryLock, MemoryLog, MemorySnapshots
from odl.replay import replay

SPEC = {"learning_rate": 1.0}
COUNT, DRIFT_AT = 4_000, 2_500


class RateLearner(HashLearner):
    """Predicts what the row says; a higher rate makes it another fold."""

    def __init__(self, state: str = "", version: int = 0, fold_id: str = "rate-1.0") -> None:
        super().__init__(state, version, fold_id)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        yes = float(x["says"] or 0.0)
        return {"no": 1.0 - yes, "yes": yes}

    def prequential_one(self, x: Features, y: Label, weight: float = 1.0) -> Prediction:
        prediction = self.predict_proba_one(x)
        self._version += 1  # a chain of hashes would take most of the time of these tests
        return prediction


def learner_of(spec: dict[str, Any]) -> RateLearner:
    return RateLearner(fold_id=f"rate-{spec['learning_rate']}")


class World:
    """One log with a drift of the error, and everything around it."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self.lock = MemoryLock()
        self.snapshots = MemorySnapshots(self.lock)
        self.log = MemoryLog(snapshots=self.snapshots)
        self.log.create()
        self.folds = Folds(RateLearner, RateLearner.from_bytes, self.log, self.snapshots, learner_of)
        self.challengers = RedisChallengers(client, name)
        self.store = MemoryDrifts()
        self.now_ms = 1_000_000
        self.sent = 0

    def send(self, to: int) -> None:
        for number in range(self.sent + 1, to + 1):
            right = 0.9 if number <= DRIFT_AT or number % 2 else 0.1
            event = Event(id=f"e-{number}", x={"says": right}, y="yes", source="rest:t", seq=str(number))
            self.log.append(Append(encode(event), event.id, event.source))
        self.sent = to

    def observer(self, **settings: Any) -> DriftObserver:
        chosen = DriftSettings(**({"generation": 1_000, "inputs": "none"} | settings))
        lifecycle = Lifecycle(
            self.folds, RateLearner.from_bytes, self.snapshots, self.lock, spec=SPEC, by="observer"
        )
        clock = lambda: self.now_ms  # noqa: E731
        policies = DriftPolicies(chosen, self.folds, lifecycle, SPEC, self.challengers, None, clock_ms=clock)
        return DriftObserver(self.folds, self.store, chosen, policies, clock_ms=clock)

    def observe(self, observer: DriftObserver) -> None:
        while not observer.step():
            self.now_ms += 1_000

    def triggers(self) -> tuple[Trigger, ...]:
        return self.store.load().triggers


@pytest.fixture
def world(redis_client: redis.Redis, model_name: str) -> World:
    return World(redis_client, model_name)


def test_a_drift_is_recorded_with_version_field_and_size(world: World) -> None:
    world.send(COUNT)
    observer = world.observer()
    world.observe(observer)
    observer.close()
    record = world.store.load()
    [drift] = record.drifts
    assert (drift.field, drift.detector) == (ERROR, "adwin")
    assert DRIFT_AT < drift.version < DRIFT_AT + 500 and drift.size > 0.1
    assert record.counts == ((ERROR, "adwin", 1),) and record.seen == COUNT
    assert record.triggers == () and record.observer == ""


@pytest.mark.parametrize("stop_at", [1_500, 2_600, 3_500])
def test_an_observer_that_starts_again_finds_what_one_that_never_stopped_finds(
    world: World, stop_at: int
) -> None:
    world.send(stop_at)
    first = world.observer()
    world.observe(first)
    first.close()
    world.send(COUNT)
    second = world.observer()
    world.observe(second)
    again = world.store.load()
    second.close()
    world.store = MemoryDrifts()
    world.observe(third := world.observer())
    assert again.drifts == world.store.load().drifts
    assert again.counts == world.store.load().counts
    third.close()


def test_a_second_observer_is_refused_while_the_first_lives(world: World) -> None:
    world.send(10)
    world.observe(world.observer())
    with pytest.raises(Superseded, match="observes drift of this model"):
        world.observer().step()
    world.now_ms += 60_000  # the first has died
    world.observe(world.observer())


def test_the_rate_is_raised_by_an_entry_of_the_log_and_comes_down_by_another(world: World) -> None:
    world.send(DRIFT_AT)
    observer = world.observer(on_error="raise_rate", rate_factor=3.0, rate_events=500)
    world.observe(observer)
    world.send(DRIFT_AT + 300)
    world.observe(observer)
    [trigger] = world.triggers()
    assert trigger.state == "open" and trigger.control
    assert replay(world.log, RateLearner, learner_of=learner_of).fold_id == "rate-3.0"
    world.send(COUNT)
    world.observe(observer)
    [trigger] = world.triggers()
    assert trigger.state == "done" and "as before from version" in trigger.outcome
    assert replay(world.log, RateLearner, learner_of=learner_of).fold_id == "rate-1.0"
    controls = [
        control
        for entry in world.log.read(0, 10_000).entries
        if (control := control_of(entry.payload)) is not None
    ]
    assert [control.spec["learning_rate"] for control in controls] == [3.0, 1.0]
    assert all("drift of (error) at version" in control.note for control in controls)
    observer.close()


def test_a_decision_of_somebody_else_meanwhile_stands(world: World) -> None:
    world.send(DRIFT_AT + 300)
    observer = world.observer(on_error="raise_rate", rate_events=500)
    world.observe(observer)
    Lifecycle(
        world.folds, RateLearner.from_bytes, world.snapshots, world.lock, spec=SPEC, by="operator"
    ).promote(spec={"learning_rate": 7.0})
    world.send(COUNT)
    world.observe(observer)
    [trigger] = world.triggers()
    assert trigger.state == "superseded" and "somebody decided otherwise" in trigger.outcome
    assert replay(world.log, RateLearner, learner_of=learner_of).fold_id == "rate-7.0"


def test_a_challenger_is_begun_after_the_drift_and_compared(world: World) -> None:
    world.send(DRIFT_AT + 300)
    observer = world.observer(on_error="challenger", challenger_events=400)
    world.observe(observer)
    [trigger] = world.triggers()
    assert trigger.state == "open"
    [record] = world.challengers.list()
    assert record.after == trigger.drift.version and record.since == trigger.version
    world.send(COUNT)
    world.observe(observer)
    [trigger] = world.triggers()
    assert trigger.state == "done" and trigger.outcome.startswith("no better; log-loss")
    assert world.challengers.list() == []


def test_retraining_is_started_once_and_its_exit_code_kept(world: World, tmp_path: Path) -> None:
    world.send(DRIFT_AT + 300)
    script = f"import sys; open({str(tmp_path / 'why.json')!r}, 'w').write(sys.stdin.read()); sys.exit(3)"
    observer = world.observer(on_error="retrain", retrain_command=(sys.executable, "-c", script))
    world.observe(observer)
    for _ in range(6_000):
        if world.triggers()[0].state != "open":
            break
        threading.Event().wait(0.01)
        observer.step()
    [trigger] = world.triggers()
    assert (trigger.state, trigger.outcome) == ("failed", "exit code 3")
    assert json.loads((tmp_path / "why.json").read_text())["drift"]["field"] == ERROR


@contextlib.contextmanager
def webhook(status: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers with a status, and what it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/retrain", bodies
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "state"), [(202, "done"), (500, "failed")])
def test_a_webhook_is_told_of_the_drift(world: World, status: int, state: str) -> None:
    world.send(DRIFT_AT + 300)
    with webhook(status) as (url, bodies):
        world.observe(world.observer(on_error="retrain", retrain_url=url))
    [trigger] = world.triggers()
    assert (trigger.state, trigger.outcome) == (state, f"HTTP {status}")
    assert json.loads(bodies[0])["drift"]["version"] == trigger.drift.version


def test_a_webhook_out_of_reach_is_a_failed_trigger_and_no_crash(world: World) -> None:
    world.send(COUNT)
    world.observe(world.observer(on_error="retrain", retrain_url="http://127.0.0.1:9/"))
    [trigger] = world.triggers()
    assert trigger.state == "failed" and "ConnectError" in trigger.outcome


def test_a_trigger_in_doubt_after_a_crash_is_not_pulled_again(world: World) -> None:
    world.send(COUNT)
    observer = world.observer()
    world.observe(observer)
    observer.close()
    record = world.store.load()
    [drift] = record.drifts
    doubtful = Trigger(drift=drift, action="raise_rate", version=COUNT, time_ms=0)
    world.store.save(replace(record, triggers=(doubtful,)))
    world.observe(world.observer(on_error="raise_rate"))
    [trigger] = world.triggers()
    assert trigger.state == "failed" and world.log.counters().control == 0


def drift_at(version: int, field: str = ERROR) -> Drift:
    return Drift(version=version, field=field, series="error", detector="adwin", before=0.1, after=0.5)


@pytest.mark.parametrize(
    ("events", "head", "earlier", "why"),
    [
        (999, 10_000, (), "only 999 events were learned"),
        (9_000, 15_001, (), "seen 5001 versions late"),
        (9_000, 10_000, (("open", 2_000),), "another trigger is under way"),
        (9_000, 10_000, (("done", 6_000),), "cools down until 11000"),
        (9_000, 10_000, (("done", 5_000),), ""),
        (9_000, 10_000, (("refused", 9_999),), ""),
    ],
)
def test_triggers_are_checked_before_they_are_pulled(
    world: World, events: int, head: int, earlier: tuple[Any, ...], why: str
) -> None:
    settings = DriftSettings(on_error="challenger")
    lifecycle = Lifecycle(world.folds, RateLearner.from_bytes, world.snapshots, world.lock, spec=SPEC, by="t")
    policies = DriftPolicies(settings, world.folds, lifecycle, SPEC, world.challengers)
    before = [
        Trigger(drift=drift_at(1), action="challenger", version=version, time_ms=0, state=state)
        for state, version in earlier
    ]
    trigger = policies.decide(drift_at(10_000), events, head, before)
    assert trigger is not None
    assert (trigger.state, trigger.outcome) == ("refused" if why else "open", why)


def test_the_record_keeps_a_bounded_list_and_counts_on(redis_client: redis.Redis, model_name: str) -> None:
    store = RedisDrifts(redis_client, model_name)
    record = store.load()
    for version in range(1, DRIFTS_MAX + 51):
        record = with_drifts(record, [drift_at(version, "size")])
    store.save(record)
    kept = store.load()
    assert kept == record and len(kept.drifts) == DRIFTS_MAX and kept.drifts[-1].version == DRIFTS_MAX + 50
    assert kept.counts == (("size", "adwin", DRIFTS_MAX + 50),)


def test_a_challenger_that_is_the_champion_is_refused(world: World) -> None:
    world.send(10)
    with pytest.raises(Misconfigured, match="differs from the model that serves"):
        Challenger("same", world.folds, SPEC).step()


def test_a_challenger_follows_a_promotion_and_is_scored_on_the_same_events(world: World) -> None:
    world.send(100)
    challenger = Challenger("fast", world.folds, {"learning_rate": 5.0}, since=40)
    assert challenger.step()
    record = challenger.record()
    assert record is not None and (record.since, record.version, record.events) == (40, 100, 60)
    assert record.challenger == record.champion and not record.is_better()
    Lifecycle(world.folds, RateLearner.from_bytes, world.snapshots, world.lock, spec=SPEC, by="t").promote(
        spec={"learning_rate": 2.0}, without=frozenset({"rest:t"})
    )
    assert challenger.step()
    record = challenger.record()
    assert record is not None and (record.version, record.events) == (101, 0)
