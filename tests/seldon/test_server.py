"""`odl serve` over real HTTP on a real Redis: answers, refusals, replicas in step, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from odl.embedded_redis import EmbeddedRedis
from seldon.message import BODY_BYTES_MAX
from streaming.embedded_broker import BrokerProcess

X = {"origin": "JFK", "distance": 1400}
PREDICT, FEEDBACK = "/api/v1.0/predictions", "/api/v1.0/feedback"


def feedback(puid: str, label: str = "late") -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": label}}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "odl", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_feedback_to_one_replica_is_in_the_next_answer_of_the_other(serve) -> None:
    one, two = serve(), serve()
    for number in range(5):
        receipt = one.post(FEEDBACK, feedback(f"p-{number}")).json()
        assert receipt["meta"]["tags"] == {
            "outcome": "accepted",
            "version": number + 1,
            "durability": "direct",
        }
        answer = two.post(PREDICT, {"data": {"ndarray": [["JFK", 1400]]}}).json()
        assert answer["meta"]["tags"]["version"] == number + 1
        assert answer["data"]["names"] == ["on time", "late"]
        assert sum(answer["data"]["ndarray"][0]) == pytest.approx(1)
    first, second = one.get("/status").json(), two.get("/status").json()
    assert first["version"] == second["version"] == 5
    assert first["digest"] == second["digest"] and first["chain"] == second["chain"]
    assert one.post(FEEDBACK, feedback("p-0")).json()["meta"]["tags"]["outcome"] == "duplicate"


def test_whatever_is_sent_nothing_moves_and_nothing_dies(shared_server) -> None:
    server = shared_server
    before = server.get("/status").json()["version"]
    nan = json.dumps({"jsonData": {"distance": float("nan")}}).encode()
    bodies: list[tuple[str, bytes, int]] = [
        (PREDICT, b"", 400),
        (PREDICT, b"{", 400),
        (PREDICT, nan, 400),
        (PREDICT, b'{"jsonData":{"distance":1e400}}', 400),
        (PREDICT, b"[" * 500_000, 400),
        (PREDICT, b'{"jsonData":{"gate":1}}', 422),
        (PREDICT, b'{"data":{"tensor":{"shape":[9,9],"values":[1]}}}', 400),
        (PREDICT, b" " * (BODY_BYTES_MAX + 1), 413),
        (FEEDBACK, b"{}", 400),
        (FEEDBACK, json.dumps(feedback("")).encode(), 400),
        (FEEDBACK, json.dumps(feedback("p", "early")).encode(), 422),
        (FEEDBACK, json.dumps({**feedback("p"), "extra": 1}).encode(), 400),
        ("/api/v2.0/feedback", b"{}", 404),
    ]
    for path, body, status in bodies:
        response = httpx.post(server.url + path, content=body, timeout=30)
        assert response.status_code == status, (path, body[:60])
        assert response.json()["status"]["status"] == "FAILURE"
        assert "Traceback" not in response.text
    assert httpx.put(server.url + PREDICT, content=b"{}").status_code == 405
    assert server.get("/status").json()["version"] == before


def test_a_body_in_pieces_is_cut_off_at_the_cap(shared_server) -> None:
    def pieces():
        for _ in range(40):
            yield b" " * 65_536

    response = httpx.post(shared_server.url + PREDICT, content=pieces(), timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize("is_announced", [True, False])
def test_who_sends_all_before_it_looks_for_the_answer_is_told_that_it_was_too_much(
    shared_server, is_announced: bool
) -> None:
    """A plain client: it would meet a broken connection, were nobody there to take what it sends."""
    host, port = shared_server.url.removeprefix("http://").split(":")
    piece, pieces = b" " * 65_536, 8 * BODY_BYTES_MAX // 65_536
    how = f"Content-Length: {pieces * len(piece)}" if is_announced else "Transfer-Encoding: chunked"
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n".encode())
        for _ in range(pieces):
            client.sendall(piece if is_announced else b"10000\r\n" + piece + b"\r\n")
        if not is_announced:
            client.sendall(b"0\r\n\r\n")
        told = b""
        while received := client.recv(65_536):
            told += received
    assert told.startswith(b"HTTP/1.1 413") and b"connection: close" in told.lower()
    assert b"at most 1048576 bytes" in told


def test_a_form_and_an_address_carry_messages_too(shared_server) -> None:
    url = shared_server.url
    message = json.dumps({"jsonData": X})
    for response in (
        httpx.post(url + "/predict", data={"json": message}),
        httpx.get(url + "/predict", params={"json": message}),
    ):
        assert set(response.json()["jsonData"]) == {"on time", "late"}


def test_sigterm_lets_accepted_feedback_finish_and_leaves_with_0(serve) -> None:
    server = serve()
    acknowledged: list[str] = []

    def send() -> None:
        with httpx.Client(timeout=30) as client:
            for number in range(100_000):
                try:
                    response = client.post(server.url + FEEDBACK, json=feedback(f"p-{number}"))
                except httpx.TransportError:
                    return
                if response.status_code == 200:
                    acknowledged.append(f"p-{number}")
                    enough.set()

    enough = threading.Event()
    sender = threading.Thread(target=send)
    sender.start()
    assert enough.wait(30)
    assert server.stop() == 0
    sender.join()
    assert serve().get("/status").json()["version"] >= len(acknowledged) > 0


def test_ctrl_c_ends_it_even_while_a_client_never_sends_its_body(serve) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{")
        assert server.get("/health/ping").text == "pong"
        assert server.stop(signal.SIGINT) == 0


def test_a_serving_process_loads_no_tensorflow(shared_server) -> None:
    shared_server.post(PREDICT, {"jsonData": X})
    maps = Path(f"/proc/{shared_server.process.pid}/maps").read_text()
    assert "/numba/" in maps and "/tensorflow/" not in maps


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_port_that_is_taken_is_one_clear_line(model_file: Path, valkey_url: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = run("--model", str(model_file), "--redis", valkey_url, "--port", port)
    assert f"cannot listen on 127.0.0.1:{port}" in refusal(done)


def test_redis_out_of_reach_is_one_clear_line(model_file: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        line = refusal(run("--model", str(model_file), "--redis", url, "--port", "0"))
    assert "Redis" in line


def test_a_model_that_cannot_be_is_one_clear_line(model_file: Path, valkey_url: str) -> None:
    model_file.write_text(model_file.read_text().replace("hidden_layers = 2", "hidden_layers = -1"))
    line = refusal(run("--model", str(model_file), "--redis", valkey_url, "--port", "0"))
    assert "hidden_layers" in line


def test_a_redis_that_may_lose_writes_is_refused(model_file: Path, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", appendfsync="everysec") as redis:
        line = refusal(run("--model", str(model_file), "--redis", redis.url, "--port", "0"))
    assert "appendfsync" in line


def test_with_kafka_feedback_is_acknowledged_by_kafka_and_never_without_it(serve) -> None:
    with BrokerProcess() as broker:
        server = serve("--kafka", broker.bootstrap)
        tags = server.post(FEEDBACK, feedback("p-1")).json()["meta"]["tags"]
        assert tags == {"outcome": "accepted", "durability": "durable"}
        assert server.get("/status").json()["version"] == 0  # it enters the log by the consumer
    refused = server.post(FEEDBACK, feedback("p-2"))
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
    assert server.post(PREDICT, {"jsonData": X}).status_code == 200


def test_kafka_out_of_reach_is_one_clear_line(model_file: Path, valkey_url: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        brokers = f"127.0.0.1:{unused.getsockname()[1]}"
        arguments = ["--model", str(model_file), "--redis", valkey_url, "--kafka", brokers, "--port", "0"]
        line = refusal(run(*arguments))
    assert brokers in line


def test_predictions_are_refused_while_redis_is_away_and_come_back_with_it(serve_on, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        port = redis.port
        server = serve_on(redis.url)
        assert server.post(FEEDBACK, feedback("p-1")).status_code == 200
    refused = server.post(PREDICT, {"jsonData": X})
    assert (refused.status_code, refused.json()["status"]["reason"]) == (503, "UNAVAILABLE")
    assert server.post(FEEDBACK, feedback("p-2")).status_code == 503
    with EmbeddedRedis(tmp_path / "redis", port=port):
        deadline = time.monotonic() + 60
        while server.post(PREDICT, {"jsonData": X}).status_code != 200:
            assert time.monotonic() < deadline
        assert server.post(FEEDBACK, feedback("p-2")).json()["meta"]["tags"]["version"] == 2
