"""One process that serves one replica: granian's HTTP server and the replica's thread, no workers.

Granian runs embedded in this process's event loop, so that one process is one replica: a kill ends all of
it, and what it learned is in one memory. The socket is ours, since granian's own would share its port
with another process that listens there already.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.server.embed import Server

from odl.config import Config
from odl.errors import Misconfigured
from seldon.access import Access
from seldon.app import App
from seldon.deadline import Deadline
from seldon.metrics import PlaneMetrics
from seldon.service import Service
from seldon.tls import Tls

if TYPE_CHECKING:
    from seldon.grpc_front import GrpcFront

PORT_MAX = 65_535
BACKLOG = 1024  # connections waiting to be accepted
DRAIN_SECONDS_MAX = 1.2  # requests that arrived may finish; the rest of `Deadline` is for closing
HEADER_BYTES_MAX = 64 << 10  # request line and headers; more is answered 431 unparsed
SETTLE_SECONDS = 0.2  # granian's threads let go of the interpreter before it ends
SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


class _Granian(Server):  # type: ignore[misc]  # granian's types are not followed
    """Granian in this event loop, on a socket that is bound already."""

    def __init__(self, app: App, listener: socket.socket, tls: Tls | None) -> None:
        address, port = listener.getsockname()[:2]
        super().__init__(
            app,
            address=address,
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(max_buffer_size=HEADER_BYTES_MAX),
            websockets=False,
            backlog=BACKLOG,
            backpressure=BACKLOG,
            log_enabled=False,
            **(tls.granian_options() if tls else {}),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # granian closes it


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises `Misconfigured` when it cannot be had."""
    if not 0 <= port <= PORT_MAX:  # the system would take it modulo 65536
        raise Misconfigured(f"expected a port from 0 to {PORT_MAX}, received {port}: choose another --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Misconfigured(f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = ": choose another --port" if error.errno == errno.EADDRINUSE else ""
        raise Misconfigured(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error
    return listener


def serve(
    config: Config,
    redis_url: str,
    kafka: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    access: Access | None = None,
    tls: Tls | None = None,
    grpc_port: int | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT: then stop accepting, finish what arrived, and return 0 within 3 seconds.

    Prints one line with the address when requests are answered. `access`: the tokens that it requires;
    `grpc_port`: where Seldon's gRPC is answered, too (0: a free one). Raises `Misconfigured` or `Unavailable`
    before that when a setting, a server or the port does not fit.
    """
    import uvloop  # an eighth less processor time a request than asyncio's own loop

    from seldon.assembly import open_service  # and with it the compiler; a frozen model does without both

    with listen(host, port) as listener:
        url = _url(listener, tls)
        with open_service(config, redis_url, kafka, url=url, access=access) as service:
            uvloop.run(answer_requests(service, listener, tls, grpc_port))
    _leave_behind(service.deadline)
    return 0


def _leave_behind(deadline: Deadline) -> None:
    """End the process at the deadline, as it is: threads that wait for a server which does not answer would
    hold it for as long as their timeouts, and so would that server's client. Nothing that they do was
    acknowledged."""
    threads = [
        each for each in threading.enumerate() if not each.daemon and each is not threading.current_thread()
    ]
    for thread in threads:
        thread.join(deadline.left_s())
    late = sum(thread.is_alive() for thread in threads)
    if late or deadline.is_over:
        logger.warning("leaving at the deadline; %d threads wait for Redis or Kafka", late)
        logging.shutdown()
        os._exit(0)


def _url(listener: socket.socket, tls: Tls | None) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _grpc_front(service: Service, metrics: PlaneMetrics) -> "GrpcFront":
    try:
        from seldon.grpc_front import GrpcFront
    except ImportError as error:
        raise Misconfigured(
            f"--grpc-port needs the packages of the extra `grpc`: pip install 'odl[grpc]' ({error})"
        ) from error
    return GrpcFront(service, metrics)


async def answer_requests(
    service: Service, listener: socket.socket, tls: Tls | None = None, grpc_port: int | None = None
) -> None:
    """Answer on `listener` until SIGTERM or SIGINT. Prints one line with the address first."""
    app = App(service)
    app.live.start()
    front, greeting = None, service.greeting
    if grpc_port is not None:
        front = _grpc_front(service, app.metrics)
        bound = front.start(listener.getsockname()[0], grpc_port, tls)
        greeting = f"{greeting} gRPC on port {bound},"
    greeting = f"{greeting} at {_url(listener, tls)}"
    server = _Granian(app, listener, tls)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    sys.stdout.write(f"{greeting}\n")
    sys.stdout.flush()
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    service.deadline.start()
    began = loop.time()
    app.live.close()  # pages that are open would hold it
    drained = front.stop(DRAIN_SECONDS_MAX) if front else None
    server.stop()
    _, late = await asyncio.wait({serving}, timeout=DRAIN_SECONDS_MAX)
    if drained is not None:
        left_s = max(began + DRAIN_SECONDS_MAX - loop.time(), SETTLE_SECONDS)
        await loop.run_in_executor(None, drained, left_s)
    if late:
        logger.warning("leaving requests unfinished that took longer than %g s", DRAIN_SECONDS_MAX)
        app.give_up()
        await asyncio.wait({serving}, timeout=SETTLE_SECONDS)
    if serving.done():
        serving.result()  # raises what made the server end by itself
    await asyncio.sleep(SETTLE_SECONDS)
    app.close()
