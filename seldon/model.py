"""The model class for `seldon-core-microservice seldon.model.OdlModel --service-type MODEL`.

Its settings come from the environment: `ODL_MODEL` (the model file), `ODL_REDIS`, `ODL_KAFKA` (optional), or
from the parameters of the same meaning in a SeldonDeployment. Every process of seldon-core (each gunicorn
worker, each gRPC worker) is a replica of its own.
"""

import atexit
import os
from typing import Any, NoReturn

import flask
from google.protobuf import json_format  # type: ignore[import-untyped]
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.proto import prediction_pb2

from odl.config import load_config
from odl.errors import Misconfigured, OdlError, Unavailable
from seldon.answer import Failure, failure_of
from seldon.assembly import open_service
from seldon.message import Json
from seldon.service import Service


class Refused(SeldonMicroserviceException):  # type: ignore[misc]  # published without types
    """A request that was refused, on its way through seldon-core to our error handler."""

    def __init__(self, failure: Failure) -> None:
        status = failure.body["status"]
        super().__init__(status["info"], status_code=failure.status, reason=status["reason"])
        self.failure = failure


class OdlModel:
    """One replica behind seldon-core's transports; the same data plane as our server, so the same answers."""

    def __init__(self, model: str = "", redis: str = "", kafka: str = "") -> None:
        """Nothing heavy: seldon-core makes this object once and forks; `load` runs in each process."""
        self._model = model or os.environ.get("ODL_MODEL", "")
        self._redis = redis or os.environ.get("ODL_REDIS", "")
        self._kafka = kafka or os.environ.get("ODL_KAFKA", "")
        self._service: Service | None = None
        self.model_error_handler = _error_handler()

    def load(self) -> None:
        """Open the replica. Raises `RuntimeError` with the reason in one line, which ends the process."""
        try:
            for value, name in ((self._model, "ODL_MODEL"), (self._redis, "ODL_REDIS")):
                if not value:
                    raise Misconfigured(f"expected the environment variable {name}, found none")
            self._service = open_service(load_config(self._model), self._redis, self._kafka or None)
        except (AttributeError, NotImplementedError, OdlError) as error:
            # seldon-core takes the first two for a model without load() and would serve without a learner
            raise RuntimeError(f"the model cannot be loaded: {error}") from error
        atexit.register(self._service.close)

    def health_status_raw(self) -> Json:
        """Whether the learner is there and in step; refused with 503 otherwise."""
        try:
            return {"jsonData": self._ready().health(), "meta": {}}
        except OdlError as error:
            _refuse(error)

    def init_metadata(self) -> Json:
        """What seldon-core answers at /metadata. Called before `load`, so it tells only the names."""
        return {"name": self._model and load_config(self._model).name, "platform": "odl"}

    def predict_raw(self, msg: Any) -> Any:
        """Predict: a dict gives a dict, a protobuf message gives one."""
        is_proto = isinstance(msg, prediction_pb2.SeldonMessage)
        body = json_format.MessageToDict(msg) if is_proto else msg
        try:
            answer = self._ready().plane.predict(body)
        except OdlError as error:
            answer = _refuse_or_tell(error)
        return json_format.ParseDict(answer, prediction_pb2.SeldonMessage()) if is_proto else answer

    def send_feedback_raw(self, feedback: prediction_pb2.Feedback) -> prediction_pb2.SeldonMessage:
        """Enter feedback; answers with outcome and version in `meta.tags`."""
        try:
            headers = dict(flask.request.headers) if flask.has_request_context() else {}
            answer = self._ready().plane.feedback(
                json_format.MessageToDict(feedback),
                client=headers.get("X-Client-Id", ""),
                key=headers.get("Idempotency-Key", ""),
            )
        except OdlError as error:
            answer = _refuse_or_tell(error)
        return json_format.ParseDict(answer, prediction_pb2.SeldonMessage())

    def _ready(self) -> Service:
        if self._service is None:
            raise Unavailable("the model is not loaded yet")
        return self._service


def _refuse_or_tell(error: OdlError) -> Json:
    """By REST the error handler answers; gRPC has no such thing, so the message itself carries the Status."""
    if flask.has_request_context():
        _refuse(error)
    return failure_of(error).body


def _refuse(error: OdlError) -> NoReturn:
    raise Refused(failure_of(error)) from error


def _error_handler() -> flask.Blueprint:
    """Lets refused requests have the status, the body and the Retry-After that our server gives them."""
    blueprint = flask.Blueprint("odl", __name__)

    @blueprint.app_errorhandler(Refused)
    def refused(error: Refused) -> Any:
        response = flask.jsonify(error.failure.body)
        response.status_code = error.failure.status
        if error.failure.retry_after_s:
            response.headers["Retry-After"] = str(error.failure.retry_after_s)
        return response

    return blueprint
