"""A Redis server that speaks TLS only, asks for client certificates, and knows users by an ACL file."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from certificates import Certificate

READY_S_MAX = 60.0


def binary() -> str:
    """A server that was built with TLS, else the test is skipped."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None:
            told = subprocess.run([path, "--tls-port", "x"], capture_output=True, text=True, check=False)
            if "argument couldn't be parsed" in told.stdout + told.stderr:  # and not: no such directive
                return path
    pytest.skip("needs a redis-server or valkey-server with TLS: `apt-get install redis-server`")


@contextlib.contextmanager
def secured_redis(folder: Path, server: Certificate, acl: str) -> Iterator[int]:
    """Its port. `acl`: lines of users; all connections are TLS, with a client certificate of the same CA."""
    (folder / "users.acl").write_text(acl)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "tls-cert-file": str(server.cert),
        "tls-key-file": str(server.key),
        "tls-ca-cert-file": str(server.ca),
        "tls-auth-clients": "yes",
        "aclfile": str(folder / "users.acl"),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
    log = folder / "redis.log"
    with log.open("wb") as output:
        process = subprocess.Popen([binary(), *arguments], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_S_MAX
        while "Ready to accept connections" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def client_of(port: int, certificate: Certificate, user: str, password: str) -> redis.Redis:
    return redis.Redis(
        "127.0.0.1",
        port,
        username=user,
        password=password,
        ssl=True,
        ssl_ca_certs=str(certificate.ca),
        ssl_certfile=str(certificate.cert),
        ssl_keyfile=str(certificate.key),
    )
