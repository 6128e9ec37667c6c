"""`odl watch`: see a model learn in a terminal, by what one of its replicas tells everybody who listens."""

import argparse
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from odl.cli.options import add_connection_options, model_config, redis_url
from odl.cli.screen import draw, plain
from odl.cli.signals import stopped_by_signal
from odl.cli.status import TOKEN
from odl.errors import Misconfigured, Unavailable
from odl.redis_connection import connect
from odl.replicas import RedisReplicas

DRAW_EVERY_S = 0.25
SILENT_S_MAX = 10.0  # a replica says something every second
AGAIN_S = 1.0
POINTS_MAX = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl watch`."""
    add_connection_options(parser, kafka=False)
    parser.add_argument(
        "--url", help="a replica, e.g. http://127.0.0.1:9000; else the first that Redis knows"
    )
    parser.epilog = f"Where the server's status needs a token, set {TOKEN}."


def run(args: argparse.Namespace) -> int:
    """Draw until Ctrl-C or SIGTERM."""
    console = Console()
    if not console.is_terminal:
        raise Misconfigured("expected a terminal to draw on: use `odl status`, or `odl status --json`")
    stopped = stopped_by_signal()
    listener = Listener(args)
    threading.Thread(target=listener.run, args=(stopped,), name="listener", daemon=True).start()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not stopped.wait(DRAW_EVERY_S):
            live.update(listener.screen(), refresh=True)
    return 0


class Listener:
    """What a replica told last. It listens in a thread of its own, and to another replica when one leaves."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._token = os.environ.get(TOKEN, "")
        if not args.url:
            self._replicas = RedisReplicas(connect(redis_url(args)), model_config(args).name)
        self._hello: dict[str, Any] = {}
        self._now: dict[str, Any] = {}
        self._points: deque[dict[str, Any]] = deque(maxlen=POINTS_MAX)
        self._trouble = "connecting"
        self._lock = threading.Lock()

    def screen(self) -> Any:
        """What to draw now."""
        with self._lock:
            if self._trouble or not self._now:
                return Text("odl watch: ", "yellow") + plain(self._trouble or "waiting for the first moment")
            return draw(self._hello, list(self._points), self._now)

    def run(self, stopped: threading.Event) -> None:
        """Listen until `stopped`."""
        while not stopped.is_set():
            try:
                self._listen(self._url(), stopped)
            except (httpx.HTTPError, Unavailable) as error:
                self._say(f"{error or type(error).__name__}; trying again")
            stopped.wait(AGAIN_S)

    def _url(self) -> str:
        if self._args.url:
            return str(self._args.url).rstrip("/")
        urls = [record.url for record in self._replicas.list() if record.url]
        if not urls:
            raise Unavailable("no replica is alive: start one with `odl serve`")
        return urls[int(time.monotonic()) % len(urls)]  # another one, should this one not answer

    def _listen(self, url: str, stopped: threading.Event) -> None:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        with httpx.stream("GET", f"{url}/events", headers=headers, timeout=SILENT_S_MAX) as response:
            if response.status_code != 200:
                hint = f"; set {TOKEN}" if response.status_code in (401, 403) else ""
                raise Unavailable(f"{url} answers {response.status_code}{hint}")
            for kind, message in told(response.iter_lines()):
                self._take(kind, message)
                if stopped.is_set():
                    return
        raise Unavailable(f"{url} has left")

    def _take(self, kind: str, message: dict[str, Any]) -> None:
        with self._lock:
            if kind == "hello":
                self._hello = message
                self._points.clear()
                self._points.extend(message["points"])
            elif kind == "now":
                self._now, self._trouble = message, ""
                self._points.append(message["point"])
            else:
                self._trouble = message.get("reason", "")

    def _say(self, trouble: str) -> None:
        with self._lock:
            self._trouble = trouble


def told(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events, each with its kind and message.

    >>> list(told(["event: now", 'data: {"tick": 1}', ""]))
    [('now', {'tick': 1})]
    """
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)
