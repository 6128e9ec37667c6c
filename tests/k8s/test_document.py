"""docs/KUBERNETES.md: its commands that need no cluster are run; what it names exists."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from overlays import OVERLAYS, ROOT

from odl.embedded_redis import _binary
from odl.redis_connection import check_server, connect

TEXT = (ROOT / "docs" / "KUBERNETES.md").read_text()
READY_S_MAX = 60.0


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Path]:
    """Valkey with the users in that folder and the manifests' settings; its socket."""
    lines = (ROOT / "k8s" / "base" / "valkey.conf").read_text().splitlines()
    settings = [line for line in lines if not line.startswith(("#", "dir", "aclfile"))]
    (folder / "valkey.conf").write_text("\n".join(settings))
    socket = folder / "redis.sock"
    command = [str(_binary()), str(folder / "valkey.conf"), "--port", "0", "--unixsocket", str(socket)]
    command += ["--dir", str(folder), "--aclfile", str(folder / "users.acl")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S_MAX
        while not socket.exists():
            assert process.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        process.wait(READY_S_MAX)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here, which makes the passwords")
def test_the_users_it_makes_are_an_administrator_and_a_service_that_may_little(tmp_path: Path) -> None:
    found = re.search(r"^umask.*?^} > users\.acl$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    script = found[0].replace("k8s/base/model.toml", str(ROOT / "k8s" / "base" / "model.toml"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=READY_S_MAX)
    with server(tmp_path) as socket, contextlib.ExitStack() as clients:

        def client(user: str, secret: str) -> redis.Redis:
            return clients.enter_context(contextlib.closing(connect(f"unix://{user}:{secret}@{socket}")))

        admin = client("admin", (tmp_path / "admin").read_text().strip())
        service = client("odl", (tmp_path / "service").read_text().strip())
        library = subprocess.run(
            [sys.executable, "-m", "odl", "rights", "--functions"],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        assert admin.function_load(library, replace=True)
        assert check_server(service, require_fsync_always=False).appendonly
        assert service.hset("{odl:flights}:head", "version", "0") == 1
        for forbidden in (service.flushall, service.config_get, lambda: service.set("other", 1)):
            with pytest.raises(redis.exceptions.NoPermissionError):
                forbidden()
        with pytest.raises(redis.exceptions.AuthenticationError):
            clients.enter_context(contextlib.closing(connect(f"unix://{socket}"))).ping()


def test_what_it_names_exists() -> None:
    named = set(re.findall(r"(?:k8s|tests|docs|\.github)/[\w./-]*\w", TEXT)) | {
        f"k8s/{name}" for name in re.findall(r"`(components/\w+)`", TEXT)
    }
    assert len(named) >= 8
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = set(re.findall(r"`make (\w+)`", TEXT))
    assert targets >= {"apiserver", "images"}
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    assert all(f"| `{name}` |" in TEXT for name in OVERLAYS)


def test_every_component_and_overlay_is_used_or_told_of() -> None:
    used = "".join(path.read_text() for path in (ROOT / "k8s" / "overlays").rglob("kustomization.yaml"))
    for folder in (ROOT / "k8s" / "components").iterdir():
        assert f"components/{folder.name}" in used, f"{folder.name} is in no overlay"
    assert {path.name for path in (ROOT / "k8s" / "overlays").iterdir()} == set(OVERLAYS)
