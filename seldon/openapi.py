"""The OpenAPI page of a server: its schemas are those that the server itself decodes with."""

from importlib.metadata import version

import msgspec

from seldon.message import Feedback, Json, SeldonMessage
from seldon.open_inference import DATATYPES, InferenceRequest
from seldon.service import Service

VERSION = "3.1.0"
_REF = "#/components/schemas/"
_FAILURE: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {
            "type": "object",
            "required": ["code", "info", "reason", "status"],
            "properties": {
                "code": {"type": "integer"},
                "info": {"type": "string"},
                "reason": {"type": "string"},
                "status": {"const": "FAILURE"},
            },
        }
    },
}
_ERROR: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_ANSWER: Json = {
    "type": "object",
    "required": ["meta"],
    "properties": {
        "meta": {
            "type": "object",
            "required": ["puid", "tags"],
            "properties": {"puid": {"type": "string"}, "tags": {"type": "object"}},
        }
    },
}
_INFERENCE: Json = {
    "type": "object",
    "required": ["model_name", "model_version", "id", "parameters", "outputs"],
    "properties": {
        "outputs": {
            "type": "array",
            "items": {"type": "object", "required": ["name", "datatype", "shape", "data"]},
        }
    },
}
_OBJECT: Json = {"type": "object"}
STATUSES = {
    "400": "the message cannot be read",
    "401": "a token is missing",
    "403": "the token does not allow it",
    "404": "no prediction is remembered under this id",
    "408": "the body took too long to arrive",
    "409": "the label of this id cannot be corrected",
    "410": "the label comes too late: its id or its prediction is forgotten",
    "413": "the body or its rows are too many",
    "422": "the message does not fit the model",
    "429": "more feedback than one source may send",
    "503": "Redis, Kafka or the newest version are out of reach: see Retry-After",
}
_MESSAGE: Json = {
    "name": "json",
    "in": "query",
    "required": True,
    "description": "the message as JSON text; a form field of this name does as well",
    "schema": {"type": "string"},
}
_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "event id, where no meta.puid gives it: 1 to 200 printable characters",
    "schema": {"type": "string"},
}
_CLIENT: Json = {
    "name": "X-Client-Id",
    "in": "header",
    "description": "who sends: 1 to 64 letters, digits, dots, dashes and underscores",
    "schema": {"type": "string"},
}

_WAIT: Json = {
    "name": "wait",
    "in": "query",
    "description": "answer once the log has the event, with its version",
    "schema": {"enum": ["version"]},
}


def openapi(service: Service, predictions: tuple[str, ...], feedback: tuple[str, ...]) -> Json:
    """The page of a service, whose Seldon routes are `predictions` and `feedback`."""
    name, model_version = service.name, service.replica.fold_id
    x, label = _example(service)
    asked = {"jsonData": x, "meta": {"puid": "visit-1"}}
    inputs = [
        {"name": field, "shape": [1], "datatype": DATATYPES[service.fields[field]], "data": [value]}
        for field, value in x.items()
    ]
    _, schemas = msgspec.json.schema_components(
        [SeldonMessage, Feedback, InferenceRequest], ref_template=_REF + "{name}"
    )
    schemas |= {"Failure": _FAILURE, "Error": _ERROR, "Answer": _ANSWER, "Inference": _INFERENCE}
    paths: Json = {path: _seldon("predict", "SeldonMessage", asked) for path in predictions}
    taught = {"request": asked, "truth": {"jsonData": label}}
    paths |= {path: _seldon("teach", "Feedback", taught, _KEY, _CLIENT, _WAIT) for path in feedback}
    for path in feedback:
        for method in paths[path].values():
            late = {"description": "kept, but not in the log yet", "content": _content("Answer")}
            method["responses"]["202"] = late
    for path, purpose in {
        "/live": "whether the replica's thread turns",
        "/ready": "whether the learner is there and in step",
        "/health/status": "the same, as Seldon asks it",
        "/metadata": "the model, in Seldon's form",
        "/status": "version, epoch, digest and scores of this replica",
        "/dead-letters": "the newest feedback by Kafka that could not be learned, with the reasons",
        "/contract.json": "what seldon-core's testers generate requests from",
        "/openapi.json": "this page",
    }.items():
        paths[path] = {"get": _read(purpose, "Failure")}
    for path, kind in {
        "/health/ping": "text/plain",
        "/metrics": "text/plain",
        "/": "text/html",
        "/docs": "text/html",
    }.items():
        paths[path] = {
            "get": {
                "responses": {"200": {"description": "text", "content": {kind: {}}}, **_refusals("Failure")}
            }
        }
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        paths[path] = {"get": _read("Open Inference Protocol", "Error")}
    for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{model_version}"):
        paths[base] = {"get": _read("name, inputs and outputs of the model", "Error")}
        paths[f"{base}/ready"] = {"get": _read("whether the model is ready", "Error")}
        paths[f"{base}/infer"] = {
            "post": _posted("predict", "InferenceRequest", "Inference", {"inputs": inputs}, "Error")
        }
    return {
        "openapi": VERSION,
        "info": {"title": f"odl: {name}", "version": version("odl")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _example(service: Service) -> tuple[dict[str, float | str], str | float]:
    """Features and a label that the model takes."""
    x = {name: 1.0 if kind == "number" else "a" for name, kind in service.fields.items()}
    label = 1.0 if service.task == "regression" else (*service.classes, "a")[0]
    return x, label


def _seldon(purpose: str, body: str, example: Json, *headers: Json) -> Json:
    """A route of Seldon's, which takes its message in the address, too."""
    asked = _posted(purpose, body, "Answer", example)
    got = {key: value for key, value in asked.items() if key != "requestBody"}
    return {
        "post": {**asked, "parameters": list(headers)},
        "get": {**got, "parameters": [_MESSAGE, *headers]},
    }


def _posted(purpose: str, body: str, answer: str, example: Json, refusal: str = "Failure") -> Json:
    content = {"application/json": {"schema": {"$ref": _REF + body}, "example": example}}
    return {
        "summary": purpose,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "done", "content": _content(answer)}, **_refusals(refusal)},
    }


def _read(purpose: str, refusal: str) -> Json:
    answer = {"description": purpose, "content": {"application/json": {"schema": _OBJECT}}}
    return {"summary": purpose, "responses": {"200": answer, **_refusals(refusal)}}


def _refusals(refusal: str) -> Json:
    return {code: {"description": text, "content": _content(refusal)} for code, text in STATUSES.items()}


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": _REF + schema}}}
