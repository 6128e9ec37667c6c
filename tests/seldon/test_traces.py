"""Traces: spans with the puid, on request only, to any collector that speaks OTLP."""

import asyncio
import contextlib
import gzip
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from odl.errors import Misconfigured
from seldon.app import App
from seldon.http import Response
from seldon.service import Service
from seldon.traces import Tracer, tracer_of

pytest.importorskip("opentelemetry.sdk", reason="the extra `traces` is not installed")

X = {"origin": "JFK", "distance": 1400}
QUESTION = json.dumps({"jsonData": X}).encode()
TRUTH = json.dumps(
    {"request": {"jsonData": X, "meta": {"puid": "p-1"}}, "truth": {"strData": "late"}}
).encode()
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Client:
    """Sends requests without a socket."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, path: str, body: bytes, **headers: str) -> Response:
        sent = headers | {"content-length": str(len(body))}
        scope = type("Scope", (), {"method": "POST", "path": path, "query_string": "", "headers": sent})

        async def transport() -> bytes:
            return body

        return asyncio.run(self.app.respond(scope, transport))


@pytest.fixture
def spans():
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracer(provider)


@pytest.fixture
def client(service: Service, tracer: Tracer):
    service.tracer = tracer
    app = App(service)
    yield Client(app)
    app.close()


def test_a_request_is_a_span_with_its_puid_in_the_trace_of_its_caller(client: Client, spans) -> None:
    answer = json.loads(client("/predict", QUESTION, traceparent=PARENT).body)
    client("/send-feedback", TRUTH)
    predict, feedback = spans.get_finished_spans()
    assert (predict.name, feedback.name) == ("odl.predict", "odl.feedback")
    assert predict.attributes["odl.puid"] == answer["meta"]["puid"]
    assert predict.attributes["http.response.status_code"] == 200
    assert format(predict.context.trace_id, "032x") == PARENT.split("-")[1]
    assert feedback.attributes["odl.puid"] == "p-1" and feedback.parent is None


def test_a_refused_request_is_a_span_with_an_error(client: Client, spans) -> None:
    assert client("/predict", b"{").status == 400
    (span,) = spans.get_finished_spans()
    assert not span.status.is_ok and span.events[0].name == "exception"


def test_learning_is_a_span_and_changes_no_bit(tracer: Tracer, spans) -> None:
    from hedge_model import HedgeLearner, ModelSpec

    spec = ModelSpec(task="binary", classes=("a", "b"), hidden_layers=2, width=16)
    traced, plain = tracer.learner(HedgeLearner)(spec), HedgeLearner(spec)
    events = [({"x": number / 10}, "ab"[number % 2], 1.0) for number in range(10)]
    for learner in (traced, plain):
        learner.prequential_one(*events[0])
        classes, predictions = learner.prequential_batch(learner.prepare(events[1:]))
        assert (classes, len(predictions)) == (("a", "b"), 9)
    assert traced.digest() == plain.digest() and traced.to_bytes() == plain.to_bytes()
    one, many = spans.get_finished_spans()
    assert (one.name, one.attributes["odl.events"]) == ("odl.learn", 1)
    assert (many.attributes["odl.version"], many.attributes["odl.events"]) == (1, 9)


def test_a_head_check_is_a_span_as_long_as_the_read(tracer: Tracer, spans) -> None:
    tracer.head_check(time.perf_counter() - 0.25, version=3, head=5)
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"odl.version": 3, "odl.head": 5}
    assert span.end_time - span.start_time >= 0.25e9


def test_off_is_the_default_and_imports_nothing(service: Service) -> None:
    assert tracer_of({}) is None
    assert tracer_of({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) is None
    assert tracer_of({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}) is None
    script = (
        "import sys; from seldon.assembly import tracer_of; assert tracer_of({}) is None;"
        # redis-py imports other parts of OpenTelemetry itself
        "unwanted = 'opentelemetry.sdk.trace', 'opentelemetry.exporter';"
        "sys.exit(any(name.startswith(unwanted) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    app = App(service)
    with contextlib.closing(app):
        assert app._routes["/predict"][1] == app._predict  # the handler itself, with nothing around it


def test_an_exporter_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Misconfigured, match="received 'jaeger'"):
        tracer_of({"OTEL_TRACES_EXPORTER": "jaeger"})


def test_spans_reach_a_collector_by_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        for name, value in environment.items():  # the SDK reads them itself
            monkeypatch.setenv(name, value)
        tracer = tracer_of(environment)
        assert tracer is not None
        tracer.head_check(time.perf_counter(), 1, 2)
        tracer.close()
        server.shutdown()
        thread.join()
    (message,) = received
    resource = {each.key: each.value.string_value for each in message.resource_spans[0].resource.attributes}
    assert resource["service.name"] == "odl"
    assert message.resource_spans[0].scope_spans[0].spans[0].name == "odl.head_check"
