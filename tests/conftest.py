"""Fixtures that all tests share: one real server a test process, and names that nobody else uses."""

import contextlib
import itertools
from collections.abc import Iterator

import pytest
import redis

from odl.embedded_redis import EmbeddedRedis
from odl.redis_connection import connect

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real Valkey server, shared: tests that stop or change it start their own."""
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_url(valkey: EmbeddedRedis) -> str:
    """URL of the shared server."""
    return valkey.url


@pytest.fixture
def redis_client(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of the shared server."""
    with contextlib.closing(connect(valkey_url)) as client:
        yield client


@pytest.fixture
def model_name() -> str:
    """A model name that no other test of this process uses."""
    return f"model-{next(_numbers)}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After tests under fire: which faults really landed, since a fault that did not proves nothing."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    told = sorted(
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "landed" and report.when == "call"
    )
    if told:
        terminalreporter.section("faults that landed")
    for row, title, size, landed in told:
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(landed.items()))
        terminalreporter.write_line(f"{row:<4} {title} [{size}]: {counts}")
