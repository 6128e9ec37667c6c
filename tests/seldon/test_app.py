"""Every route, without a socket: statuses, bodies, and that nothing moves or dies on bad input."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from odl.errors import Unavailable
from seldon.app import FEEDBACK, PREDICTIONS, App
from seldon.http import Response
from seldon.message import BODY_BYTES_MAX

X = {"origin": "JFK", "distance": 1400}
QUESTION = json.dumps({"jsonData": X}).encode()
TRUTH = json.dumps(
    {"request": {"jsonData": X, "meta": {"puid": "p-1"}}, "truth": {"strData": "late"}}
).encode()


class FakeScope:
    def __init__(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.query_string, self.headers = method, path, query, headers


class FakeTransport:
    """The body in pieces, as granian gives it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.taken = 0

    async def __call__(self) -> bytes:
        self.taken = len(self.body)
        return self.body

    async def __aiter__(self):
        for start in range(0, len(self.body), 65_536):
            self.taken = start + 65_536
            yield self.body[start : start + 65_536]


class Client:
    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(
        self, method: str, path: str, body: bytes = b"", *, announce: bool = True, **headers: str
    ) -> Response:
        path, _, query = path.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if announce:
            sent.setdefault("content-length", str(len(body)))
        self.transport = FakeTransport(body)
        return asyncio.run(self.app.respond(FakeScope(method, path, query, sent), self.transport))


@pytest.fixture
def client(service) -> Iterator[Client]:
    app = App(service)
    yield Client(app)
    app.close()


def reason(response: Response) -> str:
    status = json.loads(response.body)["status"]
    assert status["status"] == "FAILURE" and status["code"] == response.status
    assert status["info"] and "\n" not in status["info"] and "Traceback" not in status["info"]
    return str(status["reason"])


@pytest.mark.parametrize("path", PREDICTIONS)
def test_every_prediction_route_answers(client: Client, path: str) -> None:
    response = client("POST", path, QUESTION)
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body)["jsonData"] == {"on time": 0.5, "late": 0.5}


@pytest.mark.parametrize("path", FEEDBACK)
def test_every_feedback_route_learns(client: Client, path: str) -> None:
    tags = json.loads(client("POST", path, TRUTH).body)["meta"]["tags"]
    assert tags == {"outcome": "accepted", "version": 1, "durability": "memory"}
    assert json.loads(client("GET", "/status").body)["version"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/predict?json=%7B%22jsonData%22%3A%7B%22distance%22%3A1%7D%7D", b"", {}),
        ("POST", "/predict?json=%7B%22jsonData%22%3A%7B%22distance%22%3A1%7D%7D", b"", {}),
        (
            "POST",
            "/predict",
            b"json=%7B%22jsonData%22%3A%7B%22distance%22%3A1%7D%7D",
            {"content_type": "application/x-www-form-urlencoded"},
        ),
    ],
)
def test_the_message_may_come_as_a_form_or_in_the_address(
    client: Client, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    assert client(method, path, body, **headers).status == 200


def test_headers_give_client_and_id(client: Client, bench) -> None:
    body = json.dumps({"request": {"jsonData": X}, "truth": {"strData": "late"}}).encode()
    response = client("POST", "/send-feedback", body, x_client_id="gate-7", idempotency_key="k-1")
    assert json.loads(response.body)["meta"]["puid"] == "k-1"
    assert b'"source":"rest:gate-7"' in bench.log.read(0, 1).entries[0].payload


def test_health_metadata_metrics_status_and_the_page(client: Client) -> None:
    assert client("GET", "/health/ping").body == b"pong"
    for path in ("/live", "/ready", "/health/status"):
        assert json.loads(client("GET", path).body)["jsonData"] == {"version": 0, "epoch": 1}
    assert json.loads(client("GET", "/metadata").body)["name"] == "flights"
    status = json.loads(client("GET", "/status").body)
    assert (status["model"], status["version"], status["epoch"], status["ready"]) == ("flights", 0, 1, True)
    assert len(status["digest"]) == 64
    page = client("GET", "/")
    assert page.content_type.startswith("text/html") and b"http://" not in page.body


def test_metrics_count_predictions_events_refusals_and_show_the_replica(client: Client) -> None:
    client("POST", "/predict", QUESTION)
    client("POST", "/send-feedback", TRUTH)
    client("POST", "/send-feedback", TRUTH)
    client("POST", "/predict", b"{")
    text = client("GET", "/metrics").body.decode()
    for line in (
        'odl_predictions_total{outcome="fresh",source="seldon"} 1.0',
        'odl_feedback_events_total{outcome="accepted",source="anonymous"} 1.0',
        'odl_feedback_events_total{outcome="duplicate",source="anonymous"} 1.0',
        'odl_failures_total{reason="MALFORMED",status="400"} 1.0',
        'odl_request_seconds_count{kind="predict"} 1.0',
        "odl_replica_version 1.0",
        "odl_replica_epoch 1.0",
        "odl_replica_lag 0.0",
    ):
        assert line in text


def test_an_unready_replica_says_so(client: Client, bench) -> None:
    bench.replica.stop()
    for path in ("/ready", "/health/status", "/live", "/status"):
        response = client("GET", path)
        assert (response.status, reason(response)) == (503, "UNAVAILABLE")
    response = client("POST", "/predict", QUESTION)
    assert (response.status, dict(response.headers)["retry-after"]) == (503, "1")


def test_what_is_not_there_is_404_and_a_wrong_method_405(client: Client) -> None:
    response = client("GET", "/api/v2.0/predictions")
    assert (response.status, reason(response)) == (404, "NOT_FOUND")
    response = client("DELETE", "/predict")
    assert (response.status, reason(response)) == (405, "METHOD_NOT_ALLOWED")
    assert dict(response.headers)["allow"] == "POST, GET"


def test_a_body_that_announces_too_much_is_not_read(client: Client) -> None:
    response = client("POST", "/predict", QUESTION, content_length=str(BODY_BYTES_MAX + 1))
    assert (response.status, reason(response)) == (413, "TOO_LARGE")
    assert client.transport.taken == 0


def test_a_body_of_unknown_size_is_read_only_up_to_the_cap(client: Client) -> None:
    response = client("POST", "/predict", b"[" * (3 * BODY_BYTES_MAX), announce=False)
    assert (response.status, reason(response)) == (413, "TOO_LARGE")
    assert client.transport.taken <= BODY_BYTES_MAX + 65_536


@pytest.mark.parametrize(
    ("body", "headers", "status", "expected"),
    [
        (b"", {}, 400, "MALFORMED"),
        (b"not json", {}, 400, "MALFORMED"),
        (b'{"jsonData":{"distance":NaN}}', {}, 400, "MALFORMED"),
        (b'{"jsonData":{"distance":1e400}}', {}, 400, "MALFORMED"),
        (b'{"jsonData":{"gate":1}}', {}, 422, "BAD_FEATURES"),
        (b"x=1", {"content_type": "application/x-www-form-urlencoded"}, 400, "MALFORMED"),
        (b"&" * 100, {"content_type": "application/x-www-form-urlencoded"}, 400, "MALFORMED"),
        (b"--x\r\n", {"content_type": "multipart/form-data; boundary=x"}, 400, "MALFORMED"),
    ],
)
def test_bad_bodies_get_a_status_and_one_sentence(
    client: Client, body: bytes, headers: dict[str, str], status: int, expected: str
) -> None:
    response = client("POST", "/predict", body, **headers)
    assert (response.status, reason(response)) == (status, expected)


def test_a_fault_of_ours_shows_no_trace(client: Client, caplog: Any) -> None:
    class Broken:
        def read(self, body: object) -> None:
            raise RuntimeError("secret internals")

    client.app._plane = Broken()  # type: ignore[assignment]
    response = client("POST", "/predict", QUESTION)
    assert (response.status, reason(response)) == (500, "INTERNAL")
    assert b"secret" not in response.body and "secret internals" in caplog.text


def test_dead_letters_are_shown_and_an_unreachable_kafka_is_a_503(client: Client, service: Any) -> None:
    assert json.loads(client("GET", "/dead-letters").body) == {"topic": None, "letters": []}
    page = {"topic": "t-dead-letters", "letters": [{"reason": "BAD_LABEL"}]}
    service._dead_letters = lambda: page
    assert json.loads(client("GET", "/dead-letters").body) == page

    def away() -> dict[str, Any]:
        raise Unavailable("no Kafka broker answers")

    service._dead_letters = away
    refused = client("GET", "/dead-letters")
    assert refused.status == 503
    assert b"no Kafka broker answers" in refused.body
