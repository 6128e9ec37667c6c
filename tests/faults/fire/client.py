"""A client of the replicas' REST protocol that repeats nothing by itself and keeps its connections."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int  # HTTP status; 0: the connection broke, so nobody knows what happened
    body: dict[str, Any]
    retry_after: str | None = None

    @property
    def tags(self) -> dict[str, Any]:
        tags: dict[str, Any] = self.body.get("meta", {}).get("tags", {})
        return tags


class Rest:
    """Requests of one thread."""

    def __init__(self) -> None:
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def predict(self, url: str, number: float) -> Reply:
        return self.post(url, "/api/v1.0/predictions", {"jsonData": {"n": number}})

    def feedback(self, url: str, event_id: str, number: float, label: str = "yes") -> Reply:
        request = {"jsonData": {"n": number}, "meta": {"puid": event_id}}
        return self.post(url, "/api/v1.0/feedback", {"request": request, "truth": {"strData": label}})

    def status(self, url: str) -> dict[str, Any]:
        return self.call(url, "GET", "/status", None).body

    def post(self, url: str, path: str, message: object) -> Reply:
        return self.call(url, "POST", path, json.dumps(message).encode())

    def call(self, url: str, method: str, path: str, body: bytes | None) -> Reply:
        connection = self._connections.get(url)
        if connection is None:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
            self._connections[url] = connection
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return Reply(0, {})
        try:
            found = json.loads(text)
        except ValueError:
            found = {"text": text.decode(errors="replace")}
        return Reply(response.status, found, response.headers.get("Retry-After"))

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
