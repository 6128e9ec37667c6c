"""Logs: one line for each thing that matters. JSON where machines read them, colours in a terminal.

`ODL_LOG` is `json`, `pretty` or absent (then pretty if standard error is a terminal), `ODL_LOG_LEVEL` a level
of `logging` (INFO). What a request is about is in `PUID`, so that every line of its handling carries it.
Passwords in URLs and bearer tokens are cut out of every line, also where a library put them into a message.

>>> record = logging.LogRecord("odl.x", logging.INFO, "", 0, "at %s", ("redis://u:secret@db:6379",), None)
>>> record.created, record.version = 0.0, 7
>>> JsonLines().format(record)
'{"time":"1970-01-01T00:00:00.000Z","level":"info","logger":"odl.x","message":"at redis://***@db:6379","version":7}'
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from odl.errors import Misconfigured

FORMS = ("json", "pretty")
LINES_PER_SECOND_MAX = 50.0  # of one message; whoever sends bad requests in a loop must not fill a disk
OURS = ("odl", "hedge_model", "streaming", "seldon")

PUID: ContextVar[str] = ContextVar("puid", default="")  # id of the prediction that this task is about

_SECRETS = (
    (re.compile(r"(\w+://)[^/@\s]*:[^@\s]*@"), r"\1***@"),  # user and password of a URL
    (re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]+"), r"\1***"),
    (
        re.compile(r"(?i)(password|passwd|secret|token|api_key)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]+"),
        r"\1\2***",
    ),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "puid"}


def without_secrets(text: str) -> str:
    """The text without what looks like a password or a token.

    >>> without_secrets("Authorization: Bearer abc.def; password=hunter2")
    'Authorization: Bearer ***; password=***'
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, puid, and whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        puid = getattr(record, "puid", "") or PUID.get()
        if puid:
            line["puid"] = puid
        line |= _extra(record)
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return msgspec.json.encode(line, enc_hook=str).decode()


class PlainLines(logging.Formatter):
    """The same for people: message, then what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _extra(record)
        puid = getattr(record, "puid", "") or PUID.get()
        if puid:
            facts = {"puid": puid, **facts}
        text = " ".join((record.getMessage(), *(f"{name}={value}" for name, value in facts.items())))
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return without_secrets(text)


class Throttle(logging.Filter):
    """Lets each message (by its text before it is filled in) pass so often a second, and says
    how many were not."""

    def __init__(
        self,
        per_second_max: float = LINES_PER_SECOND_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._max = per_second_max
        self._clock = clock
        self._second = -1
        self._counts: dict[str, int] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._counts = second, {}
        text = str(record.msg)
        count = self._counts[text] = self._counts.get(text, 0) + 1
        if count > self._max:
            self._held_back[text] = self._held_back.get(text, 0) + 1
            return False
        held_back = self._held_back.pop(text, 0)
        if held_back:
            record.lines_held_back = held_back
        return True


def configure_logs(environment: Mapping[str, str] = os.environ, stream: TextIO | None = None) -> None:
    """Send the log lines of our packages at their level, and warnings of others, to standard error.
    Raises `Misconfigured`. May be called again; the last call counts."""
    stream = stream or sys.stderr
    form = environment.get("ODL_LOG") or ("pretty" if stream.isatty() else "json")
    if form not in FORMS:
        raise Misconfigured(f"expected ODL_LOG to be one of {', '.join(FORMS)}, received '{form}'")
    name = environment.get("ODL_LOG_LEVEL", "INFO").upper()
    level = logging.getLevelNamesMapping().get(name)
    if level is None:
        raise Misconfigured(f"expected ODL_LOG_LEVEL to be a level such as INFO, received '{name}'")
    handler = _handler(form, stream)
    handler.addFilter(Throttle())
    root = logging.getLogger()
    for previous in [each for each in root.handlers if isinstance(each, _Ours)]:
        root.removeHandler(previous)
    root.addHandler(handler)
    for package in OURS:
        logging.getLogger(package).setLevel(level)


class _Ours:
    """Marks the handler that `configure_logs` has added."""


class _JsonHandler(logging.StreamHandler[TextIO], _Ours):
    pass


def _handler(form: str, stream: TextIO) -> logging.Handler:
    if form == "json":
        handler: logging.Handler = _JsonHandler(stream)
        handler.setFormatter(JsonLines())
        return handler
    from rich.console import Console
    from rich.logging import RichHandler

    class _PrettyHandler(RichHandler, _Ours):
        pass

    console = Console(file=stream, soft_wrap=True)
    handler = _PrettyHandler(console=console, show_path=False, markup=False, rich_tracebacks=False)
    handler.setFormatter(PlainLines())
    return handler


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {name: without_secrets(v) if isinstance(v, str) else v for name, v in found.items()}
