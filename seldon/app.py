"""The HTTP application: Seldon's routes over one data plane, as an RSGI callable for granian."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from odl.errors import OdlError
from odl.logs import PUID
from odl.mailbox import Answer
from seldon.answer import failure_of, status_body
from seldon.contract import contract
from seldon.http import BodyTooLarge, MessageReader, Response, Scope, Transport, linger, send_pieces
from seldon.live import Live
from seldon.message import Json
from seldon.open_inference import inference_answer, model_metadata, read_inference, server_metadata
from seldon.openapi import openapi
from seldon.outcome import outcome
from seldon.page import EVENTS, FILES, STREAM_HEADERS, page_file
from seldon.request import Request
from seldon.service import Service
from seldon.traces import Tracer

# Feedback waits for Redis (an fsync) or Kafka; Redis commits waiting clients as a group.
FEEDBACK_THREADS = 16
PREDICTIONS = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
FEEDBACK = ("/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback")
INFERENCE = "/v2"  # the Open Inference Protocol, which has a form of error of its own
DOCS = Path(__file__).with_name("docs.html")

Handler = Callable[[Scope, Transport], Awaitable[Response]]
logger = logging.getLogger(__name__)


class App:
    """Answers every request; never raises, never shows a stack trace."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._plane = service.plane
        self._guard = service.guard
        self.metrics = service.metrics
        self.live = Live(service, self.metrics)
        self._reader = MessageReader()
        self._shortcut, self._appender = service.shortcut(), service.appender()
        self._pool = ThreadPoolExecutor(FEEDBACK_THREADS, "feedback")
        self._answering: set[asyncio.Task[Any] | None] = set()  # requests that wait for their answer
        both, get = ("POST", "GET"), ("GET",)
        self._routes: dict[str, tuple[tuple[str, ...], Handler]] = {
            **{path: (both, self._predict) for path in PREDICTIONS},
            **{path: (both, self._feedback) for path in FEEDBACK},
            "/health/ping": (get, self._ping),
            "/live": (get, self._live),
            "/health/status": (get, self._ready),
            "/api/v1.0/health/status": (get, self._ready),
            "/ready": (get, self._ready),
            "/metadata": (get, self._metadata),
            "/api/v1.0/metadata": (get, self._metadata),
            "/metrics": (get, self._exposition),
            "/status": (get, self._status),
            **{path: (get, self._page) for path in FILES},
            EVENTS: (get, self._events),
            "/docs": (get, self._docs),
            "/openapi.json": (get, self._openapi),
            "/contract.json": (get, self._contract),
            "/dead-letters": (get, self._dead_letters),
            **self._inference_routes(),
        }
        if service.tracer is not None:
            self._routes |= self._traced(service.tracer)

    def _inference_routes(self) -> dict[str, tuple[tuple[str, ...], Handler]]:
        get = ("GET",)
        routes: dict[str, tuple[tuple[str, ...], Handler]] = {
            INFERENCE: (get, self._server),
            f"{INFERENCE}/health/live": (get, self._inference_live),
            f"{INFERENCE}/health/ready": (get, self._inference_ready),
        }
        model = f"{INFERENCE}/models/{self._service.name}"
        for base in (model, f"{model}/versions/{self._service.replica.fold_id}"):
            routes[base] = (get, self._model)
            routes[f"{base}/ready"] = (get, self._model_ready)
            routes[f"{base}/infer"] = (("POST",), self._infer)
        return routes

    def _traced(self, tracer: Tracer) -> dict[str, tuple[tuple[str, ...], Handler]]:
        names = {self._predict: "odl.predict", self._infer: "odl.predict", self._feedback: "odl.feedback"}
        return {
            path: (methods, tracer.around(names[handler], handler))
            for path, (methods, handler) in self._routes.items()
            if handler in names
        }

    def close(self) -> None:
        """Start nothing more; what the threads are doing ends with the answers of Redis and Kafka."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for each in (self._shortcut, self._appender):
            if each is not None:
                each.close()

    def give_up(self) -> None:
        """Answer everybody who still waits that this server is stopping."""
        for task in self._answering:
            if task is not None:
                task.cancel()

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        task = asyncio.current_task()
        self._answering.add(task)
        try:
            response = await self.respond(scope, transport)
        finally:
            self._answering.discard(task)
        headers = [("content-type", response.content_type), *response.headers]
        if response.stream is not None:
            await send_pieces(transport, response.status, headers, response.stream)
        else:
            transport.response_bytes(response.status, headers, response.body)
        if response.rest is not None:
            await linger(response.rest)

    async def respond(self, scope: Scope, transport: Transport) -> Response:
        """The response to one request, whatever happens."""
        path = scope.path  # granian makes it anew each time
        try:
            methods, handler = self._routes.get(path, ((), None))
            if handler is None:
                return self._refuse(path, 404, f"there is nothing at {path[:200]}", "NOT_FOUND")
            if scope.method not in methods:
                allow = (("allow", ", ".join(methods)),)
                info = f"expected {' or '.join(methods)} for {path}, received {scope.method}"
                return self._refuse(path, 405, info, "METHOD_NOT_ALLOWED", allow)
            if self._guard.asks_for_tokens:
                self._guard.admit(path, scope.headers)
            return await handler(scope, transport)
        except BodyTooLarge as error:
            refusal = self._refuse(path, error.status, str(error), error.reason, (("connection", "close"),))
            return msgspec.structs.replace(refusal, rest=error.rest)
        except OdlError as error:
            failure = failure_of(error)
            if failure.status >= 500 and not failure.retry_after_s:
                logger.error("%s %s: %s", scope.method, path, error)
            status = failure.body["status"]
            return self._refuse(path, failure.status, status["info"], status["reason"], failure.headers)
        except asyncio.CancelledError:
            info = "this server is stopping: try again"
            return self._refuse(path, 503, info, "STOPPING", (("retry-after", "1"),))
        except Exception:
            logger.exception("%s %s failed", scope.method, path)
            return self._refuse(path, 500, "the server failed; its log says why", "INTERNAL")

    def _refuse(
        self, path: str, status: int, info: str, reason: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        self.metrics.count_refusal(status, reason)
        logger.info("refused: %s", info, extra={"status": status, "reason": reason, "path": path[:200]})
        body = {"error": info} if path.startswith(INFERENCE) else status_body(status, info, reason)
        return Response.json(body, status, headers)

    async def _predict(self, scope: Scope, transport: Transport) -> Response:
        started = time.perf_counter()
        request = self._plane.read(await self._reader.read(scope, transport))
        PUID.set(request.puid)
        answer = await self._predictions(request)
        message = self._plane.answer(request, answer)
        PUID.set(message["meta"]["puid"])
        response = Response.json(message)
        self.metrics.count_predictions(request.rows, answer, time.perf_counter() - started)
        return response

    async def _predictions(self, request: Request) -> Answer:
        place = self._shortcut.take(request.rows, request.min_version) if self._shortcut else None
        answer = None if place is None else await place
        return await outcome(self._plane.predictions(request)) if answer is None else answer

    async def _feedback(self, scope: Scope, transport: Transport) -> Response:
        started = time.perf_counter()
        body = await self._reader.read(scope, transport)
        headers = scope.headers
        client, key = self._guard.client(headers), headers.get("idempotency-key", "")
        wait = parse_qs(scope.query_string).get("wait", [""])[-1] if scope.query_string else ""
        message = await self._entered(body, client, key, wait)
        PUID.set(message["meta"]["puid"])
        self.metrics.count_feedback(message, time.perf_counter() - started, client)
        return Response.json(message, 200 if message["meta"]["tags"].get("visible", True) else 202)

    async def _entered(self, body: bytes, client: str, key: str, wait: str) -> Json:
        """The answer to feedback: by the event loop where nothing blocks, else by a thread."""
        plane, appender, loop = self._plane, self._appender, asyncio.get_running_loop()
        if appender is not None and appender.takes(body):
            incoming = plane.incoming(body, client=client, key=key, wait=wait)
            if not incoming.blocks:
                puid, events = plane.events(incoming)
                receipts = await appender.submit(events)
                left = [event for event, receipt in zip(events, receipts, strict=True) if receipt is None]
                late = iter(await loop.run_in_executor(self._pool, plane.enter, left) if left else ())
                return plane.receipt(incoming, puid, events, [each or next(late) for each in receipts])
        return await loop.run_in_executor(
            self._pool, lambda: plane.feedback(body, client=client, key=key, wait=wait)
        )

    async def _infer(self, scope: Scope, transport: Transport) -> Response:
        started = time.perf_counter()
        inference = read_inference(await self._reader.read_body(scope, transport), self._plane.names)
        inference = replace(inference, request=self._plane.named(inference.request))
        self._plane.check(inference.request)
        answer = await self._predictions(inference.request)
        service = self._service
        response = Response.json(inference_answer(service.name, service.replica.fold_id, inference, answer))
        seconds = time.perf_counter() - started
        self.metrics.count_predictions(inference.request.rows, answer, seconds, "inference")
        return response

    async def _server(self, scope: Scope, transport: Transport) -> Response:
        return Response.json(server_metadata())

    async def _model(self, scope: Scope, transport: Transport) -> Response:
        service = self._service
        return Response.json(
            model_metadata(service.name, service.replica.fold_id, service.task, service.fields)
        )

    async def _model_ready(self, scope: Scope, transport: Transport) -> Response:
        self._service.health()
        return Response.json({"name": self._service.name, "ready": True})

    async def _inference_live(self, scope: Scope, transport: Transport) -> Response:
        self._service.live()
        return Response.json({"live": True})

    async def _inference_ready(self, scope: Scope, transport: Transport) -> Response:
        self._service.health()
        return Response.json({"ready": True})

    async def _ping(self, scope: Scope, transport: Transport) -> Response:
        return Response(b"pong", content_type="text/plain")

    async def _live(self, scope: Scope, transport: Transport) -> Response:
        return Response.json({"jsonData": self._service.live(), "meta": {}})

    async def _ready(self, scope: Scope, transport: Transport) -> Response:
        return Response.json({"jsonData": self._service.health(), "meta": {}})

    async def _metadata(self, scope: Scope, transport: Transport) -> Response:
        return Response.json(self._service.metadata())

    async def _exposition(self, scope: Scope, transport: Transport) -> Response:
        status = await outcome(self._service.replica.ask_status(digest=False))
        text = self.metrics.exposition(self._service.describe(status))
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")

    async def _status(self, scope: Scope, transport: Transport) -> Response:
        status = await outcome(self._service.replica.ask_status())
        return Response.json(self._service.describe(status))

    async def _openapi(self, scope: Scope, transport: Transport) -> Response:
        return Response.json(openapi(self._service, PREDICTIONS, FEEDBACK))

    async def _contract(self, scope: Scope, transport: Transport) -> Response:
        service = self._service
        return Response.json(contract(service.fields, service.task, service.classes))

    async def _dead_letters(self, scope: Scope, transport: Transport) -> Response:
        loop = asyncio.get_running_loop()
        return Response.json(await loop.run_in_executor(self._pool, self._service.dead_letters))

    async def _docs(self, scope: Scope, transport: Transport) -> Response:
        return Response(DOCS.read_bytes(), content_type="text/html; charset=utf-8")

    async def _page(self, scope: Scope, transport: Transport) -> Response:
        return page_file(scope.path)

    async def _events(self, scope: Scope, transport: Transport) -> Response:
        kind = "text/event-stream; charset=utf-8"
        return Response(b"", content_type=kind, headers=STREAM_HEADERS, stream=self.live.listen())
