"""A proxy in front of Redis that treats some replies badly, drawn by a seed."""

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


class FlakyProxy:
    """Forwards everything; of the replies, a share is dropped with the connection and as many are delayed.

    `hold_at`: a request that matches it waits until `release`, as a packet that was long on its way.
    """

    def __init__(self, server_port: int, seed: int = 0, *, share: float = 0.0) -> None:
        self.counts: Counter[str] = Counter()
        self.share = share
        self.hold_at: Callable[[bytes], bool] | None = None
        self.held = threading.Event()  # a request waits
        self.release = threading.Event()  # it may go on
        self._server_port = server_port
        self._chance = random.Random(seed)
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

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

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()

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
                self._start(self._requests, client, server)
                self._start(self._replies, server, client)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(1 << 20):
                if self.hold_at is not None and self.hold_at(chunk):
                    self.held.set()
                    self.release.wait()
                server.sendall(chunk)
        _close(server)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(1 << 20):
                with self._mutex:
                    drawn, delay_s = self._chance.random(), DELAY_S_MAX * self._chance.random()
                if drawn < self.share:
                    self.counts["replies dropped"] += 1
                    break
                if drawn < 2 * self.share:
                    self.counts["replies delayed"] += 1
                    time.sleep(delay_s)
                client.sendall(chunk)
        _close(client)
        _close(server)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
    each.close()
