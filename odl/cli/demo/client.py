"""A client of the replicas' Seldon REST protocol, on connections that stay open. Any thread may use it."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from odl.errors import Unavailable
from odl.event import Features

TIMEOUT_S = 10.0  # a replica answers or refuses within its own deadline of 2
TRY_FOR_S = 30.0  # replicas may be behind or busy for a while; longer is a fault
CLIENT_ID = "demo"


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as it was served."""

    probabilities: dict[str, float]
    version: int  # log entries that the replica had learned
    epoch: int
    seconds: float  # from the request to the answer, as the caller saw it


class Client:
    """Predictions, feedback and status. `check` is called when a replica cannot be reached, and may raise
    what it knows about that."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._kept = threading.local()

    def predict(self, url: str, puid: str, x: Features, min_version: int) -> Answer:
        """Ask the replica at `url` for a prediction that has learned `min_version` entries or more."""
        message = {"jsonData": x, "meta": {"puid": puid, "tags": {"min_version": min_version}}}
        started = time.perf_counter()
        answer = self._call(url, "POST", "/api/v1.0/predictions", message)
        seconds = time.perf_counter() - started
        tags = answer["meta"]["tags"]
        return Answer(answer["jsonData"], tags["version"], tags["epoch"], seconds)

    def feedback(self, url: str, puid: str, x: Features, label: str, version: int) -> None:
        """Tell the truth about a prediction; returns when it is durable. Safe to repeat."""
        message = {
            "request": {"jsonData": x, "meta": {"puid": puid}},
            "response": {"meta": {"puid": puid, "tags": {"version": version}}},
            "truth": {"strData": label},
        }
        self._call(url, "POST", "/api/v1.0/feedback", message)

    def status(self, url: str) -> dict[str, Any]:
        """What the replica at `url` says about itself."""
        return self._call(url, "GET", "/status", None)

    def _call(self, url: str, method: str, path: str, message: object) -> dict[str, Any]:
        body = None if message is None else msgspec.json.encode(message)
        deadline = time.monotonic() + TRY_FOR_S
        while True:
            try:
                status, retry_after_s, answer = self._exchange(url, method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self._check()
                status, retry_after_s, answer = 0, 0.1, repr(error).encode()
            if status == 200:
                decoded: dict[str, Any] = msgspec.json.decode(answer)
                return decoded
            if status not in (0, 503) or time.monotonic() > deadline:
                said = answer.decode(errors="replace")[:400]
                raise Unavailable(f"{method} {url}{path} was answered with status {status}: {said}")
            time.sleep(retry_after_s)

    def _exchange(self, url: str, method: str, path: str, body: bytes | None) -> tuple[int, float, bytes]:
        connection = self._connection(url)
        try:
            headers = {"Content-Type": "application/json", "X-Client-Id": CLIENT_ID}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, float(response.headers.get("Retry-After", 1)), response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # it opens again with the next request
            raise

    def _connection(self, url: str) -> http.client.HTTPConnection:
        connections: dict[str, http.client.HTTPConnection] = self._kept.__dict__
        if url not in connections:
            connections[url] = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
        return connections[url]
