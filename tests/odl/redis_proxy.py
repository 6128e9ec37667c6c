"""A proxy in front of a server that treats traffic badly: replies are lost or late, requests wait, the server
behind it changes. The client's address stays the same."""

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

DELAY_S_MAX = 0.05


class RedisProxy:
    """Forwards chunks; `lose`, `hold`, `share` decide about replies, `hold_at` about requests, `go_to` about
    where new connections lead."""

    def __init__(self, server_port: int, seed: int = 0, *, share: float = 0.0) -> None:
        self.lose = 0  # so many of the next replies are dropped and their connections closed
        self.hold = False  # replies vanish, the connection stays: a black hole
        self.share = share  # of the replies that is dropped with the connection; as many are delayed
        self.hold_at: Callable[[bytes], bool] | None = None  # a request that waits until `release`
        self.held = threading.Event()  # such a request waits
        self.release = threading.Event()  # it may go on
        self.passed = threading.Event()  # it has gone on
        self.requests = 0  # chunks that reached the server
        self.counts: Counter[str] = Counter()  # of faults that landed
        self._server_port = server_port
        self._chance = random.Random(seed)
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def go_to(self, server_port: int) -> None:
        """New connections lead to another server; those that are open stay where they are."""
        self._server_port = server_port

    def cut(self) -> None:
        """Close every connection; new ones are refused until the proxy is gone."""
        self.release.set()
        for each in (self._listener, *self._sockets):
            _close(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:  # the server is away, and so are we
                    _close(client)
                    continue
                self._sockets += [client, server]
                self._start(self._forward_requests, client, server)
                self._start(self._forward_replies, server, client)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(1 << 20):
                is_held = self.hold_at is not None and self.hold_at(chunk)
                if is_held:
                    self.held.set()
                    self.release.wait()
                self.requests += 1
                server.sendall(chunk)
                if is_held:
                    self.passed.set()
        _close(server)

    def _forward_replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(1 << 20):
                if self.hold:
                    continue
                if self._is_lost():
                    break
                client.sendall(chunk)
        _close(client)
        _close(server)

    def _is_lost(self) -> bool:
        """Draw what becomes of a reply; one that is delayed waits here."""
        with self._mutex:
            if self.lose:
                self.lose -= 1
                return True
            drawn, delay_s = self._chance.random(), DELAY_S_MAX * self._chance.random()
        if drawn < self.share:
            self.counts["replies dropped"] += 1
            return True
        if drawn < 2 * self.share:
            self.counts["replies delayed"] += 1
            time.sleep(delay_s)
        return False


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
    each.close()
