"""Traces, switched on by the standard OTEL_* variables: predict and feedback with their puid, the head check
and the learning of a turn.

Off unless `OTEL_TRACES_EXPORTER` or an `OTEL_EXPORTER_OTLP_*ENDPOINT` is set; then nothing of its tracing
is imported, and no request runs a line of this module. Sampling, headers, batching and resource attributes
are the SDK's, by its own variables.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from odl.errors import Misconfigured
from odl.logs import PUID

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from seldon.http import Response

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_MS = 1_000  # how long leaving may wait for a collector

L = TypeVar("L")


class Tracer:
    """Makes spans; one a process."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        self._provider = provider
        self._tracer = provider.get_tracer("odl")
        self._extract = extract
        self._server, self._error = SpanKind.SERVER, StatusCode.ERROR

    def around(
        self, name: str, handler: Callable[..., Awaitable["Response"]]
    ) -> Callable[..., Awaitable["Response"]]:
        """The handler of a route, with a span around it that continues the caller's trace."""

        async def traced(scope: Any, transport: Any) -> "Response":
            parent = self._extract({"traceparent": scope.headers.get("traceparent", "")})
            with self._tracer.start_as_current_span(name, parent, self._server) as span:
                span.set_attribute("url.path", scope.path)
                try:
                    response = await handler(scope, transport)
                finally:
                    span.set_attribute("odl.puid", PUID.get())
                span.set_attribute("http.response.status_code", response.status)
                return response

        return traced

    def head_check(self, began: float, version: int, head: int) -> None:
        """A read of the log that began at `began` (perf_counter) at `version` and saw `head`."""
        end_ns = time.time_ns()
        start_ns = end_ns - int((time.perf_counter() - began) * 1e9)
        attributes = {"odl.version": version, "odl.head": head}
        span = self._tracer.start_span("odl.head_check", attributes=attributes, start_time=start_ns)
        span.end(end_ns)

    def learner(self, kind: type[L]) -> type[L]:
        """The class of learners `kind`, with a span around learning; arithmetic and bytes are the same."""
        tracer, base = self._tracer, kind

        class Traced(base):  # type: ignore[valid-type,misc]
            def prequential_one(self, x: Any, y: Any, weight: float = 1.0) -> Any:
                with tracer.start_as_current_span(
                    "odl.learn", attributes={"odl.version": self.version}
                ) as span:
                    span.set_attribute("odl.events", 1)
                    return super().prequential_one(x, y, weight)

            def prequential_batch(self, batch: Any) -> Any:
                with tracer.start_as_current_span(
                    "odl.learn", attributes={"odl.version": self.version}
                ) as span:
                    classes, predictions = super().prequential_batch(batch)
                    span.set_attribute("odl.events", len(predictions))
                    return classes, predictions

        return Traced

    def close(self) -> None:
        """Send what waits, for a second at most."""
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()  # type: ignore[no-untyped-call]


def tracer_of(environment: Mapping[str, str]) -> Tracer | None:
    """The tracer that the variables ask for; None when they ask for none. Raises `Misconfigured`."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    wanted = exporter or any(environment.get(name) for name in ENDPOINTS)
    if not wanted or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter not in ("", "otlp", "console"):
        raise Misconfigured(
            f"expected OTEL_TRACES_EXPORTER to be otlp, console or none, received '{exporter}'"
        )
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
    except ImportError as error:
        raise Misconfigured(
            f"traces need the packages of the extra `traces`: pip install 'odl[traces]' ({error})"
        ) from error
    sender: SpanExporter
    if exporter == "console":
        sender = ConsoleSpanExporter()
    else:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise Misconfigured(
                f"OTLP needs the packages of the extra `traces`: pip install 'odl[traces]' ({error})"
            ) from error
        sender = OTLPSpanExporter()
    name = environment.get("OTEL_SERVICE_NAME", "odl")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(sender))
    return Tracer(provider)
