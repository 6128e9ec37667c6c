"""A real Kubernetes API server on loopback: etcd, kube-apiserver. No node, so nothing runs in it.

`make apiserver` builds kube-apiserver and kubectl from source into .odl/apiserver; etcd comes from the
distribution.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
from overlays import BUILT, KUBECTL

BINARY = BUILT / "kube-apiserver"
READY_S_MAX = 120.0  # ten seconds on a quiet machine
STOP_S_MAX = 20.0
TOKEN = "test-administrator"
STARTS_MAX = 3  # a port that was free may be taken by the time a server binds it
# Becomes the command, which ends when the test does (prctl 1 is PR_SET_PDEATHSIG; it survives exec).
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def missing() -> str:
    """What keeps an API server from running here; empty if nothing does."""
    if not BINARY.exists():
        return "no kube-apiserver here: make apiserver builds it (Go, some minutes)"
    if not KUBECTL:
        return "no kubectl here: make apiserver builds it (Go, some minutes)"
    return "" if shutil.which("etcd") else "no etcd here: apt-get install etcd-server"


class ApiServer:
    """Both servers from construction until `stop`; `kubectl` speaks to them as an administrator."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parts = ExitStack()
        authority = trustme.CA()
        self._authority = directory / "ca.pem"
        authority.cert_pem.write_to_path(self._authority)
        authority.issue_cert("127.0.0.1", "kubernetes.default").private_key_and_cert_chain_pem.write_to_path(
            directory / "server.pem"
        )
        key = authority.issue_cert("service-accounts").private_key_pem
        key.write_to_path(directory / "accounts.pem")
        (directory / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        try:
            etcd = self._with_ports(self._start_etcd)
            self._port = self._with_ports(lambda ports: self._start_server(ports, etcd))
        except BaseException:
            self.stop()
            raise
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._config()))

    def _with_ports(self, start: Any) -> int:
        for _ in range(STARTS_MAX):
            ports = free_ports(2)
            if start(ports):
                return ports[0]
        raise AssertionError(f"a server did not start {STARTS_MAX} times: see {self._directory}")

    def _start_etcd(self, ports: list[int]) -> bool:
        client, peer = (f"http://127.0.0.1:{port}" for port in ports)
        process = self._start(
            "etcd", str(shutil.which("etcd")), "--data-dir", str(self._directory / f"etcd-{ports[0]}"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        return self._answers(process, f"{client}/health", None)

    def _start_server(self, ports: list[int], etcd: int) -> bool:
        at = self._directory
        process = self._start(
            "kube-apiserver", str(BINARY), "--etcd-servers", f"http://127.0.0.1:{etcd}",
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", str(ports[0]),
            "--tls-cert-file", str(at / "server.pem"), "--tls-private-key-file", str(at / "server.pem"),
            "--cert-dir", str(at), "--token-auth-file", str(at / "tokens.csv"),
            "--service-account-issuer", "https://kubernetes.default",
            "--service-account-key-file", str(at / "accounts.pem"),
            "--service-account-signing-key-file", str(at / "accounts.pem"),
            "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16",
            "--disable-admission-plugins", "ServiceAccount",  # no controller makes the default ones here
            "--endpoint-reconciler-type", "none",
        )  # fmt: skip
        context = ssl.create_default_context(cafile=str(self._authority))
        return self._answers(process, f"https://127.0.0.1:{ports[0]}/readyz", context)

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _LAUNCH, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._parts.callback(_end, process)
        return process

    @staticmethod
    def _answers(process: subprocess.Popen[bytes], url: str, context: ssl.SSLContext | None) -> bool:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                    if answer.status == 200:
                        return True
            except OSError:  # not yet; HTTP errors are of this kind, too
                time.sleep(0.1)
        return False

    def _config(self) -> dict[str, Any]:
        cluster = {
            "server": f"https://127.0.0.1:{self._port}",
            "certificate-authority": str(self._authority),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }

    def kubectl(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """One command as an administrator; its cache stays in the directory."""
        command = [KUBECTL, "--kubeconfig", str(self.kubeconfig)]
        command += ["--cache-dir", str(self._directory / "cache"), *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=300)

    def stop(self) -> None:
        """End both. May be called twice."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
