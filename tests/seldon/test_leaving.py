"""A server that is told to leave leaves, also when Redis or Kafka swallow everything that is sent to them."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from odl.embedded_redis import EmbeddedRedis
from streaming.embedded_broker import BrokerProcess

X = {"origin": "JFK", "distance": 1400}


def feedback(puid: str) -> dict[str, Any]:
    return {"request": {"jsonData": X, "meta": {"puid": puid}}, "truth": {"strData": "late"}}


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process takes connections and never answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def waiting(url: str, *requests: tuple[str, Any]) -> Iterator[list[int | str]]:
    """Clients that have sent a request and wait; afterwards what each was answered."""
    answers: list[int | str] = []

    def ask(path: str, message: Any) -> None:
        try:
            answers.append(httpx.post(url + path, json=message, timeout=60).status_code)
        except httpx.TransportError as error:
            answers.append(type(error).__name__)

    threads = [threading.Thread(target=ask, args=request) for request in requests]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join()


def test_a_redis_that_swallows_everything_does_not_hold_it(
    serve_on: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedRedis(tmp_path / "redis") as redis:
        server = serve_on(redis.url, "--grpc-port", "0")
        assert server.post("/send-feedback", feedback("p-0")).status_code == 200
        taught = {"jsonData": X, "meta": {"tags": {"min_version": 1}}}
        assert server.post("/predict", taught).status_code == 200  # there is something to save
        asked = [("/predict", {"jsonData": X}), ("/send-feedback", feedback("p-1"))]
        with frozen(redis.pid), waiting(server.url, *asked) as answers:
            # once its answers stop, somebody waits for Redis
            while server.get("/ready").status_code == 200:
                pass
            assert server.stop() == 0
        assert 200 not in answers
    assert re.search("no (last )?snapshot", capfd.readouterr().err)  # it was given up, not waited for


def test_a_kafka_that_swallows_everything_does_not_hold_it(
    serve_on: Callable[..., Any], valkey_url: str
) -> None:
    with BrokerProcess() as broker:
        server = serve_on(valkey_url, "--kafka", broker.bootstrap)
        assert server.post("/send-feedback", feedback("p-1")).status_code == 200
        with (
            frozen(broker.pid),
            waiting(
                server.url, ("/send-feedback", feedback("p-2")), ("/send-feedback", feedback("p-3"))
            ) as answers,
        ):
            assert server.post("/predict", {"jsonData": X}).status_code == 200
            assert server.stop() == 0
        assert 200 not in answers
