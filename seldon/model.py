"""The model class for `seldon-core-microservice seldon.model.OdlModel --service-type MODEL`.

Its settings come from the environment: `ODL_MODEL` (the model file), `ODL_REDIS`, `ODL_KAFKA` (optional), or
from the parameters of the same meaning in a SeldonDeployment. Every process of seldon-core (each gunicorn
worker, each gRPC worker) is a replica of its own.
"""

import atexit
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import flask
from flask.blueprints import BlueprintSetupState
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]

from odl.config import load_config
from odl.errors import Misconfigured, OdlError, Unavailable
from odl.redis_connection import complete_url
from seldon.access import Scope, load_tokens
from seldon.answer import Failure, failure_of
from seldon.assembly import open_service
from seldon.message import BODY_BYTES_MAX, Json, malformed, too_large
from seldon.service import Service


class Refused(Exception):
    """A request that was refused, on its way through seldon-core to our error handler."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.body["status"]["info"])
        self.failure = failure


class OdlModel:
    """One replica behind seldon-core's transports; the same data plane as our server, so the same answers."""

    def __init__(self, model: str = "", redis: str = "", kafka: str = "") -> None:
        """Read the settings; nothing heavy, since seldon-core makes this object once and then forks. Ends
        the process with one line when they do not fit."""
        try:
            self._config = load_config(_setting(model, "ODL_MODEL"))
            self._redis = complete_url(_setting(redis, "ODL_REDIS"), os.environ)
            tokens = os.environ.get("ODL_TOKENS")
            self._access = load_tokens(tokens) if tokens else None
        except Misconfigured as error:
            raise SystemExit(f"odl: {error}") from error
        self._kafka = kafka or os.environ.get("ODL_KAFKA") or None
        self._service: Service | None = None
        self.model_error_handler = _error_handler()

    def load(self) -> None:
        """Open the replica, once in every process. Raises `Misconfigured` or `Unavailable`, which ends it."""
        try:
            self._service = open_service(self._config, self._redis, self._kafka, access=self._access)
        except (AttributeError, NotImplementedError) as error:
            # seldon-core takes these for a model without load() and would serve without a learner
            raise RuntimeError(f"the model cannot be loaded: {error}") from error
        atexit.register(self._service.close)

    def health_status_raw(self) -> Json:
        """Whether the learner is there and in step; refused with 503 otherwise."""
        try:
            return {"jsonData": self._ready().health(), "meta": {}}
        except OdlError as error:
            _refuse(error)

    def init_metadata(self) -> Json:
        """What seldon-core answers at /metadata; it asks before `load`."""
        return {"name": self._config.name, "platform": "odl"}

    def predict_raw(self, msg: Any) -> Any:
        """Predict: REST brings parsed JSON and gets a dict, gRPC brings a `SeldonMessage` and gets one."""
        is_proto = isinstance(msg, Message)
        try:
            service = self._ready()
            service.guard.allow(Scope.PREDICT, _headers().get("authorization", ""))
            answer = service.plane.predict(_plain(msg) if is_proto else msg)
        except OdlError as error:
            answer = _refuse_or_tell(error)
        return json_format.ParseDict(answer, type(msg)()) if is_proto else answer

    def send_feedback_raw(self, feedback: Any) -> Any:
        """Enter a `Feedback`; the `SeldonMessage` that answers has outcome and version in `meta.tags`."""
        try:
            service, headers = self._ready(), _headers()
            service.guard.allow(Scope.FEEDBACK, headers.get("authorization", ""))
            client = service.guard.client(headers)
            answer = service.plane.feedback(
                _plain(feedback), client=client, key=headers.get("idempotency-key", "")
            )
        except OdlError as error:
            answer = _refuse_or_tell(error)
        return json_format.ParseDict(answer, type(feedback.request)())

    def _ready(self) -> Service:
        if self._service is None:
            raise Unavailable("the model is not loaded yet")
        return self._service


def _headers() -> Mapping[str, str]:
    """The headers of a REST request. seldon-core does not show what a gRPC call brought beside its message:
    where tokens are required, such a call is refused."""
    if not flask.has_request_context():
        return {}
    return {name.lower(): value for name, value in flask.request.headers}


def _plain(message: Any) -> Json:
    """A protobuf message as the JSON it stands for."""
    try:
        plain: Json = json_format.MessageToDict(message)
        return plain
    except (ValueError, json_format.Error) as error:  # NaN or infinity, which JSON does not have
        raise malformed(f"expected finite numbers: {error}") from error


def _setting(parameter: str, variable: str) -> str:
    value = parameter or os.environ.get(variable)
    if not value:
        raise Misconfigured(f"expected the environment variable {variable}, found none")
    return value


def _refuse_or_tell(error: OdlError) -> Json:
    """By REST the error handler answers; gRPC has no such thing, so the message itself carries the Status."""
    if flask.has_request_context():
        _refuse(error)
    return failure_of(error).body


def _refuse(error: OdlError) -> NoReturn:
    raise Refused(failure_of(error)) from error


def _error_handler() -> flask.Blueprint:
    """Gives refused requests the status, the body and the Retry-After of our server, and bodies its cap."""
    blueprint = flask.Blueprint("odl", __name__)

    @blueprint.record_once
    def cap(state: BlueprintSetupState) -> None:
        state.app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX

    @blueprint.app_errorhandler(413)
    def too_much(_: Exception) -> flask.Response:
        return _response(failure_of(too_large(flask.request.content_length)))

    @blueprint.app_errorhandler(Refused)
    def refused(error: Refused) -> flask.Response:
        return _response(error.failure)

    return blueprint


def _response(failure: Failure) -> flask.Response:
    response = flask.jsonify(failure.body)
    response.status_code = failure.status
    response.headers.extend(failure.headers)
    return response
