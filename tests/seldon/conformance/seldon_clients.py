"""Seldon's own clients, in a process of their own (they bring TensorFlow): `seldon_clients.py SPEC`.

SPEC is JSON: `rest` and `grpc` (host:port of each front, by name), `names` and `row` of a request, the path
of a `contract`. Prints what each client and each call was answered, as JSON.
"""

import contextlib
import io
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format
from seldon_core import api_tester, microservice_tester
from seldon_core.metrics import SeldonMetrics
from seldon_core.proto import prediction_pb2, prediction_pb2_grpc
from seldon_core.seldon_client import SeldonClient
from seldon_core.wrapper import get_rest_microservice

PUID = "by-a-client"


def plain(message: Any) -> Any:
    return message if isinstance(message, dict | None) else json_format.MessageToDict(message)


def call(method: Any, request: Any, **metadata: str) -> dict[str, Any]:
    """What one gRPC call came to: the answer, or its status."""
    try:
        sent = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        return {"answer": plain(method(request, metadata=sent, wait_for_ready=True, timeout=60))}
    except grpc.RpcError as error:
        trailing = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
        return {"code": error.code().name, "details": error.details(), "reason": trailing.get("reason", "")}


def message(fields: dict[str, Any]) -> Any:
    return json_format.ParseDict(fields, prediction_pb2.SeldonMessage())


def questions(address: str, x: dict[str, Any]) -> dict[str, Any]:
    """Calls that teach nothing, made to one front."""
    tensor = {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1, 2]}}
    nan = {**tensor, "tensor": {"shape": [1, 1], "values": ["NaN"]}}
    table = {"names": list(x), "ndarray": [list(x.values())]}
    asked = {"jsonData": x, "meta": {"puid": "p"}}
    reward = prediction_pb2.Feedback(request=message(asked), reward=1)
    with grpc.insecure_channel(address) as channel:
        model, seldon = prediction_pb2_grpc.ModelStub(channel), prediction_pb2_grpc.SeldonStub(channel)
        return {
            "object": call(model.Predict, message(asked)),
            "service Seldon": call(seldon.Predict, message(asked)),
            "text": call(model.Predict, message({"strData": json.dumps(x), "meta": {"puid": "p"}})),
            "table": call(model.Predict, message({"data": table, "meta": {"puid": "p"}})),
            "tensor": call(model.Predict, message({"data": tensor, "meta": {"puid": "p"}})),
            "unknown feature": call(model.Predict, message({"jsonData": {"gate": 1}})),
            "not finite": call(model.Predict, message({"data": nan})),
            "no data": call(model.Predict, prediction_pb2.SeldonMessage()),
            "empty feedback": call(model.SendFeedback, prediction_pb2.Feedback()),
            "reward alone": call(model.SendFeedback, reward),
            "not a message": call(channel.unary_unary("/seldon.protos.Model/Predict"), b"\xff\xff"),
            "no such method": call(channel.unary_unary("/seldon.protos.Model/Route"), b""),
        }


def lessons(address: str, name: str, x: dict[str, Any]) -> dict[str, Any]:
    """Calls that teach one front, and what it then knows."""
    truth = {"request": {"jsonData": x, "meta": {"puid": f"{name}-grpc"}}, "truth": {"strData": "late"}}
    feedback = json_format.ParseDict(truth, prediction_pb2.Feedback())
    with grpc.insecure_channel(address) as channel:
        model, seldon = prediction_pb2_grpc.ModelStub(channel), prediction_pb2_grpc.SeldonStub(channel)
        done = {"first": call(model.SendFeedback, feedback), "again": call(seldon.SendFeedback, feedback)}
        feedback.request.meta.puid = ""
        done["keyed"] = call(
            model.SendFeedback, feedback, idempotency_key=f"{name}-key", x_client_id="gate-7"
        )
        version = done["again"]["answer"]["meta"]["tags"]["version"]
        written = {"jsonData": x, "meta": {"puid": "p", "tags": {"min_version": version}}}
        return {**done, "reads its writes": call(model.Predict, message(written))}


def client(rest: str, grpc_address: str, name: str, names: list[str], row: list[Any]) -> dict[str, Any]:
    """SeldonClient against one front, by REST and by gRPC: predict, then feedback with the truth."""
    done: dict[str, Any] = {}
    x = np.array([row], dtype=object)
    truth = message({"strData": "late"})
    for transport, address in (("rest", rest), ("grpc", grpc_address)):
        direct = SeldonClient(microservice_endpoint=address, transport=transport)
        for payload in ("ndarray", "tensor"):
            data, columns = (x, names) if payload == "ndarray" else (np.array([[3.0]]), ["distance"])
            got = direct.microservice(data=data, names=columns, payload_type=payload, method="predict")
            done[f"{transport} {payload}"] = {"success": got.success, "answer": plain(got.response)}
        gateway = SeldonClient(
            gateway="seldon", gateway_endpoint=address, transport=transport, client_return_type="proto"
        )
        got = gateway.predict(data=x, names=names, payload_type="ndarray")
        got.response.meta.puid = f"{PUID}-{name}-{transport}"
        sent = gateway.feedback(got.request, got.response, truth, reward=1.0)
        done[f"{transport} feedback"] = {"success": sent.success, "answer": plain(sent.response)}
        lost = direct.microservice_feedback(got.request, got.response, reward=1.0)
        done[f"{transport} reward alone"] = {"success": lost.success, "answer": plain(lost.response)}
    return done


class Echo:
    """A model class as tutorials write it: Seldon's wrapper converts what it gets and gives."""

    def predict(self, X: Any, names: Any = None, meta: Any = None) -> Any:
        return X

    def send_feedback(self, features: Any, names: Any, reward: Any, truth: Any, routing: Any = None) -> None:
        return None


def wrapper() -> dict[str, Any]:
    """What Seldon's wrapper itself makes of bad requests to such a class."""
    web = get_rest_microservice(Echo(), SeldonMetrics()).test_client()
    requests = {
        "not finite": ("/predict", '{"data":{"ndarray":[[1,NaN]]}}'),
        "tensor that does not fit": ("/predict", '{"data":{"tensor":{"shape":[2,2],"values":[1,2,3]}}}'),
        "empty feedback": ("/send-feedback", "{}"),
        "reward alone": ("/send-feedback", '{"request":{"data":{"ndarray":[[1]]}},"reward":1}'),
        "nowhere": ("/nowhere", "{}"),
    }
    done = {}
    for name, (path, body) in requests.items():
        answer = web.post(path, data=body, content_type="application/json")
        done[name] = {"status": answer.status_code, "text": answer.get_data(as_text=True)}
    return done


def tester(contract: str, rest: str, grpc_address: str) -> dict[str, str]:
    """What `seldon-core-microservice-tester` (`seldon-core-tester`) prints for a front."""
    done = {}
    for name, address, options in (
        ("rest", rest, []),
        ("grpc", grpc_address, ["--grpc"]),
        ("batches", rest, ["-n", "3", "-b", "4"]),
    ):
        sys.argv = ["seldon-core-microservice-tester", contract, *address.split(":"), "--prnt", *options]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            microservice_tester.main()
        done[name] = printed.getvalue()
    return done


@contextlib.contextmanager
def gateway(rest: str) -> Iterator[str]:
    """What stands before a deployment on Kubernetes: takes `/seldon/NAMESPACE/DEPLOYMENT` off each path."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            path = "/" + self.path.split("/", 4)[4]
            kind = {"content-type": self.headers["content-type"]}
            with urllib.request.urlopen(urllib.request.Request(f"http://{rest}{path}", body, kind)) as reply:
                answer = reply.read()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def deployed_tester(contract: str, rest: str, grpc_address: str) -> dict[str, str]:
    """What `seldon-core-api-tester` prints for a front behind a gateway."""
    done = {}
    with gateway(rest) as behind:
        for name, address, options in (
            ("rest", behind, []),
            ("grpc", grpc_address, ["--grpc"]),
            ("batches", behind, ["-n", "3", "-b", "4"]),
        ):
            host, port = address.split(":")
            sys.argv = ["seldon-core-api-tester", contract, host, port, "flights", "--prnt", *options]
            sys.argv += ["--namespace", "default"]
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                api_tester.main()
            done[name] = printed.getvalue()
    return done


def main() -> None:
    spec = json.loads(sys.argv[1])
    names, row = spec["names"], spec["row"]
    x = dict(zip(names, row, strict=True))
    fronts = spec["grpc"].items()
    done: dict[str, Any] = {"wrapper": wrapper()}
    done["questions"] = {name: questions(address, x) for name, address in fronts}  # of one version
    done["lessons"] = {name: lessons(address, name, x) for name, address in fronts}
    done["client"] = {name: client(spec["rest"][name], address, name, names, row) for name, address in fronts}
    done["tester"] = {name: tester(spec["contract"], spec["rest"][name], address) for name, address in fronts}
    done["deployed tester"] = {
        name: deployed_tester(spec["contract"], spec["rest"][name], address) for name, address in fronts
    }
    sys.stdout.write("\n" + json.dumps(done))


if __name__ == "__main__":
    main()
