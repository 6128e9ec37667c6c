"""Log lines: for machines and people, without secrets, and not without end."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from odl.errors import Misconfigured
from odl.logs import OURS, PUID, PlainLines, Throttle, configure_logs, without_secrets

logger = logging.getLogger("odl.logs.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; everything is put back afterwards."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in OURS}
    handlers = list(root.handlers)
    yield io.StringIO()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_json_with_what_was_passed_beside_it(stream: io.StringIO) -> None:
    configure_logs({}, stream)
    token = PUID.set("p-1")
    try:
        logger.info("snapshot of version %d saved", 7, extra={"version": 7})
    finally:
        PUID.reset(token)
    logger.debug("not shown")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "logger": "odl.logs.test",
        "message": "snapshot of version 7 saved",
        "puid": "p-1",
        "version": 7,
    }


def test_an_exception_is_one_line(stream: io.StringIO) -> None:
    configure_logs({}, stream)
    try:
        raise ValueError("cannot reach redis://odl:hunter2@db:6379/0")
    except ValueError:
        logger.exception("failed", extra={"what": object})
    (line,) = stream.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"] and "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        "rediss://odl:hunter2@db:6379/0 is away",
        "redis://:hunter2@db",
        "sent Authorization: Bearer hunter2",
        "{'sasl.password': 'hunter2', 'x': 1}",
        "ODL_REDIS_PASSWORD=hunter2",
        'config {"token": "hunter2"}',
    ],
)
def test_secrets_are_cut_out(text: str) -> None:
    assert "hunter2" not in without_secrets(text) and "***" in without_secrets(text)


def test_people_read_the_same_facts(stream: io.StringIO) -> None:
    configure_logs({"ODL_LOG": "pretty"}, stream)
    logger.info("saved at %s", "redis://:hunter2@db", extra={"version": 7, "puid": "p-2"})
    assert "saved at redis://***@db puid=p-2 version=7" in stream.getvalue()


def test_plain_lines_show_exceptions_without_secrets() -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        record = logging.LogRecord("odl", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    assert "password=***" in PlainLines().format(record)


def test_what_repeats_is_held_back_and_counted() -> None:
    now = [0.0]
    throttle = Throttle(2, clock=lambda: now[0])

    def passes(text: str) -> logging.LogRecord | None:
        record = logging.LogRecord("odl", logging.INFO, "", 0, text, None, None)
        return record if throttle.filter(record) else None

    assert [bool(passes("refused: %s")) for _ in range(5)] == [True, True, False, False, False]
    assert passes("something else")
    now[0] += 1
    told = passes("refused: %s")
    assert told is not None and told.lines_held_back == 3  # type: ignore[attr-defined]


def test_configuring_twice_writes_every_line_once(stream: io.StringIO) -> None:
    configure_logs({}, stream)
    configure_logs({"ODL_LOG_LEVEL": "debug"}, stream)
    logger.debug("once")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("setting", [{"ODL_LOG": "xml"}, {"ODL_LOG_LEVEL": "LOUD"}])
def test_a_wrong_setting_is_refused(setting: dict[str, str], stream: io.StringIO) -> None:
    with pytest.raises(Misconfigured, match=next(iter(setting))):
        configure_logs(setting, stream)


def test_json_does_not_import_rich() -> None:
    script = (
        "import sys; from odl.logs import configure_logs; configure_logs({'ODL_LOG': 'json'});"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
