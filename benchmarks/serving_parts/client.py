"""A client for machines without wrk, with the same arguments and the same line of JSON at the end.

python client.py URL BODY_FILE PREFIX CONNECTIONS SECONDS
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

HEADER = (
    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """Sends its next request when it has its answer."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        self._received = b""
        self._client.note(head.startswith(b"HTTP/1.1 200"), time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._client.is_over:
            self._client.note(False, 0.0)

    def _send(self) -> None:
        if self._client.is_over:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._client.request())


class Client:
    """All connections of one run."""

    def __init__(self, url: str, body: bytes, prefix: str, seconds: float) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self._head = HEADER.format(path=parts.path, host=parts.netloc, length="{length}")
        self._body, self._prefix = body, prefix
        self._numbers = itertools.count(1)
        self._ends = time.perf_counter() + seconds
        self._spent_s: list[float] = []
        self._errors = 0

    @property
    def is_over(self) -> bool:
        return time.perf_counter() >= self._ends

    def request(self) -> bytes:
        body = self._body.replace(b"@ID@", f"{self._prefix}-{next(self._numbers)}".encode())
        return self._head.format(length=len(body)).encode() + body

    def note(self, is_good: bool, spent_s: float) -> None:
        self._spent_s.append(spent_s)
        self._errors += not is_good

    async def run(self, connections: int) -> dict[str, float]:
        began, loop = time.perf_counter(), asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Connection(self), self.host, self.port)
        await asyncio.sleep(max(self._ends - time.perf_counter(), 0))
        seconds, ordered = time.perf_counter() - began, sorted(self._spent_s) or [0.0]
        p50_ms, p99_ms = (1e3 * ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        counts = {"requests": len(self._spent_s), "errors": self._errors}
        return {**counts, "seconds": seconds, "p50_ms": p50_ms, "p99_ms": p99_ms}


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError("expected a Content-Length in the answer")


if __name__ == "__main__":
    url, file, prefix, connections, seconds = sys.argv[1:]
    client = Client(url, Path(file).read_bytes(), prefix, float(seconds))
    sys.stdout.write(json.dumps(asyncio.run(client.run(int(connections)))) + "\n")
