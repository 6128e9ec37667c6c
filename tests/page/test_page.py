"""The live page in a real Chromium: shows the past, follows what happens, predicts, teaches, runs no data."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from visitor import Visitor
from watched_replica import HOSTILE_FIELD, HOSTILE_LABEL, Replica

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import export
from odl.drift import Drift, DriftRecord
from odl.drift_store import RedisDrifts
from seldon.access import token_digest


@pytest.fixture
def visitor(browser: Visitor) -> Iterator[Visitor]:
    yield browser
    browser.leave()


def visit(visitor: Visitor, replica: Replica, version: int, **how: object) -> None:
    """Open the page and wait until it shows at least `version`."""
    visitor.visit(replica.url + "/", **how)  # type: ignore[arg-type]
    visitor.wait(lambda: shown(visitor) >= version)


def shown(visitor: Visitor) -> int:
    return int(visitor.tile("Version").replace(",", "") or -1)


def test_it_shows_the_past_and_follows_what_happens(visitor: Visitor, replica: Replica) -> None:
    version = replica.feed(30)
    visit(visitor, replica, version)
    assert visitor.text("h1") == "page" and visitor.ask("return document.title") == "page · odl"
    version = replica.feed(30)
    visitor.wait(lambda: shown(visitor) == version)
    assert visitor.tile("Accuracy").endswith("%") and float(visitor.tile("Log-loss")) > 0
    for chart, paths in (("first", 3), ("second", 3), ("weights", 3)):
        script = f"return document.querySelectorAll('#{chart} .plot path').length"
        visitor.wait(lambda script=script, paths=paths: visitor.ask(script) == paths)
    assert "label frequencies alone" in visitor.text("#second .legend")
    visitor.wait(lambda: visitor.ask("return document.querySelectorAll('#recent tr').length") == 12)
    visitor.wait(lambda: replica.status()["digest"][:12] in visitor.text("#replicas"))
    assert "this one" in visitor.text("#replicas")
    assert "Version" in visitor.text("#summary")
    assert visitor.complaints() == []


def test_it_asks_nothing_of_any_other_host(visitor: Visitor, replica: Replica) -> None:
    visit(visitor, replica, replica.feed(1))
    asked = visitor.requested()
    assert f"{replica.url}/events" in asked and f"{replica.url}/page.css" in asked
    assert [url for url in asked if not url.startswith(replica.url + "/")] == []


def test_names_and_labels_of_users_are_text_and_never_markup(visitor: Visitor, replica: Replica) -> None:
    # The page shows the last twelve; those that were sent 1st to 5th of every twenty bear that label.
    visit(visitor, replica, replica.feed(20 + (5 - replica.sent) % 20))
    visitor.wait(lambda: HOSTILE_LABEL in visitor.text("#recent"))
    visitor.click("#predict")
    visitor.wait(
        lambda: HOSTILE_LABEL in visitor.text("#answer") and HOSTILE_LABEL in visitor.text("#labels")
    )
    assert HOSTILE_FIELD in visitor.text("#fields")
    assert visitor.ask("return document.querySelectorAll('img, b b, main script').length") == 0
    assert visitor.ask("return window.hit === undefined")
    assert visitor.complaints() == []


def test_were_markup_to_get_in_the_policy_would_not_run_it(visitor: Visitor, replica: Replica) -> None:
    visit(visitor, replica, 0)
    visitor.ask(f"document.querySelector('#notice').innerHTML = {json.dumps(HOSTILE_LABEL)}")
    visitor.wait(lambda: any("Content Security Policy" in each for each in visitor.complaints()))
    assert visitor.ask("return window.hit === undefined")


def test_the_form_predicts_and_teaches(visitor: Visitor, replica: Replica) -> None:
    version = replica.feed(20)
    visit(visitor, replica, version)
    visitor.wait(lambda: visitor.ask("return document.querySelector('#field-0').value") != "")
    visitor.click("#clear")
    visitor.ask("document.querySelector('#field-0').value = '3'")
    visitor.ask("document.querySelector('#field-1').value = 'basic'")
    visitor.click("#predict")
    visitor.wait(lambda: f"by version {version}" in visitor.text("#answer"))
    visitor.click("#labels button:last-child")
    visitor.wait(lambda: f"Learned as version {version + 1}" in visitor.text("#receipt"))
    visitor.click("#labels button:last-child")
    visitor.wait(lambda: "has its feedback already" in visitor.text("#receipt"))
    visitor.wait(lambda: shown(visitor) == version + 1)
    assert "rest:page" in visitor.text("#recent tr:first-child")
    assert visitor.complaints() == []


def test_a_drift_is_marked_on_every_chart(
    visitor: Visitor, replica: Replica, redis_client: redis.Redis
) -> None:
    version = replica.feed(10)
    visit(visitor, replica, version)
    found = Drift(
        version=version + 5, field=HOSTILE_FIELD, series="value", detector="adwin", before=0.1, after=0.6
    )
    RedisDrifts(redis_client, "page").save(DriftRecord(drifts=(found,)))
    replica.feed(20)
    marks = "return document.querySelectorAll('.plot line.mark').length"
    visitor.wait(lambda: visitor.ask(marks) == 3)
    visitor.wait(lambda: f"at version {version + 5} by 0.50 (adwin)" in visitor.text("#drifts"))
    assert f"drift of {HOSTILE_FIELD}" in visitor.text("#weights .marked")
    assert visitor.ask("return window.hit === undefined")
    assert visitor.complaints() == []


def test_an_event_can_be_taken_into_the_form_by_keyboard(visitor: Visitor, replica: Replica) -> None:
    visit(visitor, replica, replica.feed(12))
    visitor.wait(lambda: visitor.ask("return document.querySelectorAll('#recent tr').length") == 12)
    visitor.click("#clear")
    visitor.ask("document.querySelector('#recent tr:nth-child(3) button').focus()")
    visitor.driver.switch_to.active_element.send_keys("\n")
    assert visitor.ask("return document.activeElement.id") == "predict"
    assert visitor.ask("return document.querySelector('#field-1').value") == "basic"


def test_with_tokens_it_asks_for_one_and_shows_no_events_to_strangers(
    visitor: Visitor, start_replica: Callable[..., Replica], tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"predict {token_digest('p-token')}\n")
    replica = start_replica("page-tokens", "--tokens", str(tokens))
    visit(visitor, replica, 0)
    visitor.ask("document.querySelector('#field-0').value = '3'")
    visitor.click("#predict")
    visitor.wait(lambda: "expected the header" in visitor.text("#answer"))
    visitor.ask("document.querySelector('#token').value = 'p-token'")
    visitor.click("#predict")
    visitor.wait(lambda: "by version 0" in visitor.text("#answer"))
    visitor.wait(lambda: "not shown" in visitor.text("#events-note"))


def test_a_page_that_is_open_holds_up_nobody_who_leaves(
    visitor: Visitor, start_replica: Callable[..., Replica]
) -> None:
    replica = start_replica("page-leaving")
    visit(visitor, replica, 0)
    replica.server.process.terminate()
    assert replica.server.process.wait(60) == 0
    visitor.wait(lambda: "Disconnected" in visitor.text("#state"))
    assert "unfinished" not in "".join(replica.server.printed)


def test_a_frozen_model_has_the_page_too_and_learns_nothing(visitor: Visitor, tmp_path: Path) -> None:
    learner = HedgeLearner(
        ModelSpec(task="regression", fields={"a": "number"}, hidden_layers=1, width=16, seed=1)
    )
    learner.learn_one({"a": 1.0}, 2.0)
    export(learner, tmp_path / "house.npz")
    command = [sys.executable, "-m", "seldon.scorer", str(tmp_path / "house.npz"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as scorer:
        try:
            assert scorer.stdout is not None
            visitor.visit(scorer.stdout.readline().split(" at ")[-1].strip() + "/")
            visitor.wait(lambda: visitor.tile("Version") == "1")
            assert "frozen model" in visitor.text("#notice")
            assert visitor.ask("return document.querySelector('.charts').checkVisibility()") is False
            visitor.ask("document.querySelector('#field-0').value = '1'")
            visitor.click("#predict")
            visitor.wait(lambda: "by version 1" in visitor.text("#answer"))
            assert visitor.ask("return document.querySelector('#tell').hidden") is True
            assert visitor.complaints() == []
        finally:
            scorer.terminate()


def test_the_form_of_a_regression_takes_a_number(
    visitor: Visitor, start_replica: Callable[..., Replica]
) -> None:
    replica = start_replica(
        "page-number", text='[model]\ntask = "regression"\nhidden_layers = 1\nwidth = 16\n'
    )
    visit(visitor, replica, 0)
    visitor.ask("document.querySelector('#new-name').value = 'rooms'")
    visitor.click("#add")  # nothing was declared: the first event names its features itself
    visitor.ask("document.querySelector('#field-0').value = '3'")
    visitor.click("#predict")
    visitor.wait(lambda: "by version 0" in visitor.text("#answer"))
    visitor.ask("document.querySelector('#truth').value = '2.5'")
    visitor.click("#labels button")
    visitor.wait(lambda: "Learned as version 1" in visitor.text("#receipt"))
    visitor.wait(lambda: visitor.tile("Mean absolute error") not in ("", "–"))
    visitor.wait(lambda: "2.5" in visitor.text("#recent"))
    assert visitor.complaints() == []
