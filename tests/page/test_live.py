"""The page's data without a browser: points, listeners, streams that end, files that ask for nothing."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hedge_model import HedgeLearner, ModelSpec
from odl.drift import Drift, DriftRecord
from odl.drift_store import MemoryDrifts
from odl.errors import Unavailable
from odl.event import Event, encode
from odl.feedback import DirectSink
from odl.log import Append
from odl.memory import MemoryLog
from odl.prequential import Prequential
from odl.recent import Sums
from odl.replica import Replica
from odl.replicas import MemoryReplicas, ReplicaRecord
from seldon.access import parse_tokens, token_digest
from seldon.fleet import Fleet
from seldon.guard import Guard
from seldon.history import History, Tally
from seldon.live import LISTENERS_MAX, Live
from seldon.metrics import PlaneMetrics
from seldon.page import FILES, FOLDER, page_file
from seldon.plane import DataPlane
from seldon.service import Service

SPEC = ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=1, width=16)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create()
    return log


@pytest.fixture
def service(log: MemoryLog) -> Iterator[Service]:
    replica = Replica(lambda: HedgeLearner(SPEC), HedgeLearner.from_bytes, log, replica_id="r1")
    fleet = Fleet(log, MemoryReplicas())
    plane = DataPlane(replica, DirectSink(log, "memory"))
    with replica:
        yield Service("m", replica, plane, ExitStack(), task="binary", classes=SPEC.classes, fleet=fleet)


def teach(service: Service, log: MemoryLog, count: int) -> None:
    """Append so many events and wait until the replica has learned them."""
    start = log.head().version
    for number in range(start, start + count):
        event = Event(id=f"e-{number}", x={"a": float(number)}, y="yes", source="rest:test")
        log.append(Append(encode(event), event.id, event.source))
    service.replica.predict([]).result(60)


def messages(frames: list[bytes]) -> list[tuple[str, Any]]:
    """Server-sent events as a browser reads them."""
    found = []
    for frame in frames:
        kind, data = frame.decode().rstrip("\n").split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def listen(live: Live, *moments: Any) -> list[tuple[str, Any]]:
    """What a page is told while each of `moments` is called and then ticked."""
    stream = live.listen()
    frames = [await anext(stream)]
    for moment in moments:
        moment()
        live.tick()
        live._wake()
        frames.append(await anext(stream))
    live.close()
    assert [frame async for frame in stream] == []  # it ends
    return messages(frames)


def test_a_page_that_opens_late_is_told_the_past_and_then_the_present(service, log) -> None:
    live = Live(service, PlaneMetrics())
    for _ in range(3):
        teach(service, log, 5)
        live.tick()
    (_, hello), (kind, now) = asyncio.run(listen(live, lambda: teach(service, log, 2)))
    assert [point["version"] for point in hello["points"]] == [5, 10, 15]
    assert (hello["model"], hello["classes"], hello["learns"]) == ("m", ["no", "yes"], True)
    assert kind == "now" and now["replica"]["version"] == now["point"]["version"] == 17
    assert sum(now["point"]["weights"]) == pytest.approx(1, abs=1e-3)


def test_the_last_events_come_with_the_prediction_before_learning(service, log) -> None:
    before = HedgeLearner(SPEC).predict_one({"a": 0.0})
    _, (_, now) = asyncio.run(listen(Live(service, PlaneMetrics()), lambda: teach(service, log, 1)))
    [event] = now["recent"]
    assert (event["version"], event["id"], event["label"], event["x"]) == (1, "e-0", "yes", {"a": 0.0})
    assert event["prediction"] == pytest.approx(before)


def test_of_many_events_learned_at_once_the_last_dozen_is_shown(service, log) -> None:
    _, (_, now) = asyncio.run(listen(Live(service, PlaneMetrics()), lambda: teach(service, log, 100)))
    assert [event["version"] for event in now["recent"]] == list(range(89, 101))


def test_what_others_sent_is_not_shown_to_strangers(service, log) -> None:
    access = parse_tokens(f"predict {token_digest('t')}")
    service.guard = Guard(access)
    _, (_, now) = asyncio.run(listen(Live(service, PlaneMetrics()), lambda: teach(service, log, 1)))
    assert now["recent"] == [] and now["replica"]["version"] == 1
    service.guard = Guard(access, opened=("health",))
    _, (_, now) = asyncio.run(listen(Live(service, PlaneMetrics()), lambda: teach(service, log, 1)))
    assert len(now["recent"]) == 2


def test_drifts_are_marked_where_they_were_found(service, log) -> None:
    drifts = MemoryDrifts()
    drift = Drift(version=2, field="a", series="value", detector="adwin", before=0.25, after=0.75)
    drifts.save(DriftRecord(drifts=(drift,)))
    service.fleet = Fleet(log, MemoryReplicas(), drifts)
    _, (_, now) = asyncio.run(listen(Live(service, PlaneMetrics()), lambda: teach(service, log, 3)))
    assert now["marks"] == [{"version": 2, "kind": "drift", "what": "drift of a"}]
    assert now["fleet"]["drifts"] == [{"version": 2, "field": "a", "detector": "adwin", "size": 0.5}]


def test_a_rollback_that_happens_while_a_page_is_open_is_marked(service) -> None:
    seen = {"replicas": [], "control": 0}
    service.fleet = SimpleNamespace(look=lambda _: dict(seen))
    told = listen(Live(service, PlaneMetrics()), lambda: None, lambda: seen.update(control=7))
    _, (_, before), (_, after) = asyncio.run(told)
    assert before["marks"] == []
    assert after["marks"] == [{"version": 7, "kind": "plan", "what": "rollback or promotion"}]


def test_pages_are_bounded_and_one_that_leaves_makes_room(service) -> None:
    live = Live(service, PlaneMetrics())

    async def fill() -> None:
        streams = [live.listen() for _ in range(LISTENERS_MAX)]
        with pytest.raises(Unavailable, match="pages are open"):
            live.listen()
        await anext(streams[0])
        await streams[0].aclose()
        live.listen()

    asyncio.run(fill())


def test_every_replica_is_shown_with_how_far_it_is_behind(log: MemoryLog) -> None:
    log.append(Append(b"{}", "e", "rest:test"))
    replicas = MemoryReplicas()
    record = ReplicaRecord("r2", 0, 1, chain="c", digest="d", fold_id="f", url="http://r2", time_ms=1_000)
    replicas.beat(record, 60_000)
    seen = Fleet(log, replicas).look(now_ms=2_500)
    [other] = seen["replicas"]
    assert (seen["version"], other["lag"], other["age_s"], other["digest"]) == (1, 1, 1.5, "d")


def tally(second: int, scores: Prequential) -> Tally:
    return Tally(float(second), scores.events, Sums.of(scores))


def learn(scores: Prequential, count: int, *, right: bool = True) -> Prequential:
    for _ in range(count):
        scores.update({"a": 0.9, "b": 0.1}, "a" if right else "b")
    return scores


def test_idle_hours_do_not_push_out_what_was_learned() -> None:
    history, scores = History(points_max=5), Prequential()
    for second, events in enumerate((10, 10, 10, *[0] * 50)):
        history.take(tally(second, learn(scores, events)))
    assert [point.version for point in history.points] == [10, 20, 30, 30, 30]
    assert history.points[-1].time == 52.0


def test_history_that_was_lost_is_not_drawn_on() -> None:
    history = History()
    for second, events in enumerate((10, 20, 5)):
        history.take(tally(second, learn(Prequential(), events)))
    assert [point.version for point in history.points] == [5]


def test_recent_scores_are_of_the_last_events_alone() -> None:
    history, scores = History(), Prequential()
    for second in range(20):
        history.take(tally(second, learn(scores, 200, right=second >= 10)))
    last = history.points[-1]
    assert (last.accuracy, last.accuracy_recent, last.accuracy_base) == (0.5, 1.0, 1.0)


def test_after_a_restart_the_scores_of_before_are_shown() -> None:
    history = History()
    history.take(tally(0, learn(Prequential(), 5_000)))
    assert history.points[-1].accuracy_recent == history.points[-1].accuracy == 1.0


def test_a_regression_has_errors_and_no_accuracy() -> None:
    history, scores = History(), Prequential()
    for error in (1.0, 3.0):
        scores.update(0.0, error)
    history.take(tally(0, scores))
    last = history.points[-1]
    assert (last.mae, round(last.rmse, 4), last.accuracy) == (2.0, 2.2361, None)


@pytest.mark.parametrize("path", FILES)
def test_no_file_of_the_page_has_code_in_markup_or_another_host(path: str) -> None:
    text = page_file(path).body.decode()
    assert dict(page_file(path).headers)["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(
        r"\bon\w+\s*=\s*[\"']|<script>|style=|javascript:|innerHTML|insertAdjacentHTML", text
    )
    hosts = set(re.findall(r"https?://[\w.]+", text)) - {
        "http://www.w3.org"
    }  # the name of SVG, not an address
    assert not hosts


def test_every_module_that_a_script_imports_is_served() -> None:
    for file in Path(FOLDER).glob("page*.js"):
        assert f"/{file.name}" in FILES
        for name in re.findall(r'from "\./([\w.]+)"', file.read_text()):
            assert f"/{name}" in FILES
