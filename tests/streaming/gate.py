"""A gate in front of a broker: while it is shut, clients find nobody behind it; the broker itself runs on."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Gate:
    """Forwards connections from a port of its own to the broker's, until `close`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port  # on 127.0.0.1
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._mutex = threading.Lock()
        self._is_open = True
        self._sockets: set[socket.socket] = set()
        self._start(self._accept)

    def shut(self) -> None:
        """Cut all connections; new ones are cut at once. The port is kept, lest somebody else takes it."""
        with self._mutex:
            self._is_open = False
            for each in self._sockets:
                _cut(each)

    def open(self) -> None:
        """Let clients through again."""
        with self._mutex:
            self._is_open = True

    def close(self) -> None:
        """Listen no more."""
        self.shut()
        _cut(self._listener)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._start(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:  # the broker was killed
            client.close()
            return
        pair = (client, server)
        with self._mutex:
            if not self._is_open:
                client.close()
                server.close()
                return
            self._sockets.update(pair)
        replies = threading.Thread(target=_pump, args=(server, client), daemon=True)
        replies.start()
        _pump(client, server)
        replies.join()
        with self._mutex:
            self._sockets.difference_update(pair)
        for each in pair:
            each.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Forward bytes one way until either side ends, then end the connection."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
    _cut(source)
    _cut(target)


def _cut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut before
        each.shutdown(socket.SHUT_RDWR)  # wakes who waits in it
