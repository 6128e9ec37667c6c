"""Seldon's gRPC services over the same data plane: Predict, SendFeedback and the model's metadata.

Bodies are parsed here and not by grpc, so that one which is no message is the client's mistake and not ours.
A refusal is a gRPC status with one clear sentence, and `reason` and `retry-after` in the trailing metadata.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from odl.errors import Misconfigured, OdlError
from seldon.access import Scope
from seldon.answer import Failure, failure_of, status_body
from seldon.message import BODY_BYTES_MAX, Json, malformed
from seldon.metrics import PlaneMetrics
from seldon.protos import PACKAGE, message_types
from seldon.service import Service
from seldon.tls import Tls

THREADS = 16  # calls at once; each waits for the replica, which answers all who wait in one turn
WAITING_MAX = 1_024  # calls beyond that are refused at once
CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    405: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}  # every other 4xx is INVALID_ARGUMENT
INTERNAL = Failure(500, status_body(500, "the server failed; its log says why", "INTERNAL"))

Call = Callable[[bytes, dict[str, str]], Json]
logger = logging.getLogger(__name__)


class GrpcFront:
    """A gRPC server in threads of its own."""

    def __init__(self, service: Service, metrics: PlaneMetrics) -> None:
        self._service = service
        self._metrics = metrics
        self._types = message_types()
        self._pool = ThreadPoolExecutor(THREADS, "grpc")
        self._server = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=WAITING_MAX,
            options=(("grpc.max_receive_message_length", BODY_BYTES_MAX), ("grpc.so_reuseport", 0)),
        )
        predict = self._handler(Scope.PREDICT, self._predict, "SeldonMessage")
        feedback = self._handler(Scope.FEEDBACK, self._feedback, "SeldonMessage")
        metadata = self._handler(None, self._metadata, "SeldonModelMetadata")
        services = {
            "Model": {"Predict": predict, "SendFeedback": feedback, "Metadata": metadata},
            "Seldon": {"Predict": predict, "SendFeedback": feedback, "ModelMetadata": metadata},
        }
        for name, methods in services.items():
            handler = grpc.method_handlers_generic_handler(f"{PACKAGE}.{name}", methods)
            self._server.add_generic_rpc_handlers((handler,))

    def start(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Listen (port 0 picks a free one); the port. Raises `Misconfigured` when it cannot be had."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise Misconfigured(f"cannot listen on {address}: choose another --grpc-port") from error
        self._server.start()
        return int(bound)

    def stop(self, grace_s: float) -> Callable[[float], bool]:
        """Take no more calls; those that are running may finish within `grace_s`. Returns at once, with a
        function that waits so many seconds for the end and tells whether it came."""
        ended = self._server.stop(grace_s)

        def wait(timeout_s: float) -> bool:
            done = bool(ended.wait(timeout_s))
            self._pool.shutdown(wait=False, cancel_futures=True)
            return done

        return wait

    def _predict(self, body: bytes, headers: dict[str, str]) -> Json:
        started = time.perf_counter()
        plane = self._service.plane
        request = plane.read(self._parse("SeldonMessage", body))
        answer = plane.predictions(request).result()
        message = plane.answer(request, answer)
        self._metrics.count_predictions(request.rows, answer, time.perf_counter() - started, "grpc")
        return message

    def _feedback(self, body: bytes, headers: dict[str, str]) -> Json:
        started = time.perf_counter()
        message = self._parse("Feedback", body)
        client, key = self._service.guard.client(headers), headers.get("idempotency-key", "")
        answer = self._service.plane.feedback(message, client=client, key=key)
        self._metrics.count_feedback(answer, time.perf_counter() - started, client)
        return answer

    def _metadata(self, body: bytes, headers: dict[str, str]) -> Json:
        return self._service.metadata()

    def _parse(self, kind: str, body: bytes) -> Json:
        try:
            plain: Json = json_format.MessageToDict(self._types[kind].FromString(body))
            return plain
        except (DecodeError, RecursionError) as error:
            raise malformed(f"expected a {kind} of {PACKAGE}, received other bytes") from error
        except (ValueError, json_format.Error) as error:  # NaN or infinity, which JSON does not have
            raise malformed(f"expected finite numbers: {error}") from error

    def _handler(self, need: Scope | None, call: Call, answer_kind: str) -> Any:
        """A method that bytes go in and out of. `need` None: the model may be known without a token."""
        answer_type = self._types[answer_kind]

        def answer(body: bytes, context: Any) -> Any:
            headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            try:
                if need is not None:
                    self._service.guard.allow(need, headers.get("authorization", ""))
                message = json_format.ParseDict(call(body, headers), answer_type())
                return message.SerializeToString()
            except OdlError as error:
                failure = failure_of(error)
            except Exception:
                logger.exception("%s by gRPC failed", call.__name__)
                failure = INTERNAL
            return self._refuse(context, failure)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _refuse(self, context: Any, failure: Failure) -> Any:
        """End the call with a status: raises."""
        status = failure.body["status"]
        self._metrics.count_refusal(failure.status, status["reason"])
        trailing = [("reason", status["reason"])]
        if failure.retry_after_s:
            trailing.append(("retry-after", str(failure.retry_after_s)))
        context.set_trailing_metadata(trailing)
        return context.abort(CODES.get(failure.status, grpc.StatusCode.INVALID_ARGUMENT), status["info"])


def _credentials(tls: Tls) -> Any:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    authority = tls.client_ca.read_bytes() if tls.client_ca else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)
