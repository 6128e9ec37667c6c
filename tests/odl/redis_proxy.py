"""A proxy in front of Redis that loses replies: the server acts, the client never learns it."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class RedisProxy:
    """Forwards one chunk at a time; `lose` and `hold` decide about the next replies."""

    def __init__(self, server_port: int) -> None:
        self.lose = 0  # so many of the next replies are dropped and their connections closed
        self.hold = False  # replies vanish, the connection stays: a black hole
        self.requests = 0  # chunks that reached the server
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            _close(each)
        for thread in self._threads:
            thread.join()

    def _start(self, function: object, *args: object) -> None:
        thread = threading.Thread(target=function, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                self._start(self._forward_requests, client, server)
                self._start(self._forward_replies, server, client)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(1 << 16):
                self.requests += 1
                server.sendall(chunk)
        _close(server)

    def _forward_replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(1 << 16):
                if self.hold:
                    continue
                if self.lose:
                    self.lose -= 1
                    break
                client.sendall(chunk)
        _close(client)
        _close(server)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
    each.close()
