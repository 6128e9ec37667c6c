"""Nodes of a cluster on one machine: network namespaces on a bridge, which itself is in a namespace.

Run inside `unshare --net` (see `unshared`): the machine's own interfaces and /run/netns are never touched.
A namespace has no name and lives as long as a process in it; every process ends with the one that started it.
So nothing is left behind, however the test ends.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

BRIDGE = "br0"
SUBNET = "10.77.0"
HERE = f"{SUBNET}.1"  # of the process that watches
CLONE_NEWNET = 0x40000000
READY_S_MAX = 60.0
# Becomes the command, which ends when its starter does (prctl 1 is PR_SET_PDEATHSIG; it survives exec).
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def unshared(*command: str) -> list[str]:
    """The command that runs `command` in a network of its own; as another user than root, in a user
    namespace, too."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--", *command]


def missing() -> str:
    """What keeps such a network from being made here; empty if nothing does."""
    for name in ("unshare", "nsenter", "ip"):
        if shutil.which(name) is None:
            return f"no {name} here: apt-get install iproute2 util-linux"
    probe = f"ip link add {BRIDGE} type bridge && unshare --net ip link add veth0 type veth peer name veth1"
    done = subprocess.run(
        unshared("sh", "-c", probe), capture_output=True, text=True, check=False, timeout=60
    )
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else ""


def launch(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command that ends with this process; what it says goes to `log`. From the main thread."""
    program = shutil.which(command[0])
    assert program, f"{command[0]} is not installed here"
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _LAUNCH, str(os.getpid()), program, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip


class Node:
    """One network namespace with one address."""

    def __init__(self, number: int, directory: Path) -> None:
        self.address = f"{SUBNET}.{number + 1}"
        self._holder = launch(["unshare", "--net", "sleep", "infinity"], directory / f"node-{number}.log")
        self.enter = ["nsenter", "--net", "--target", str(self._holder.pid)]
        self._wait_for_namespace()
        outside = f"veth{number}"
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        ip("link", "set", outside, "master", BRIDGE, "up")
        for words in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            subprocess.run([*self.enter, "ip", *words.split()], check=True, timeout=READY_S_MAX)

    def _wait_for_namespace(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        here, there = os.readlink("/proc/self/ns/net"), f"/proc/{self._holder.pid}/ns/net"
        while os.readlink(there) == here:
            assert self._holder.poll() is None and time.monotonic() < deadline, "no namespace was made"
            time.sleep(0.01)

    def listen(self, port: int) -> socket.socket:
        """A listener on this node's loopback, held by this process."""
        found: list[socket.socket] = []

        def inside() -> None:  # a thread may be in another namespace than its process; it ends there
            with open(f"/proc/{self._holder.pid}/ns/net") as namespace:
                assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0
            found.append(socket.create_server(("127.0.0.1", port)))

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        return found[0]

    def stop(self) -> None:
        """Let go of the namespace; it vanishes with the last process in it."""
        self._holder.kill()
        self._holder.wait()


class Machine:
    """The bridge and its nodes, in the namespace of this process. Use it in `with`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._parts = ExitStack()
        self._count = 0
        ip("link", "set", "lo", "up")
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")

    def node(self) -> Node:
        """One more node."""
        self._count += 1
        node = Node(self._count, self.directory)
        self._parts.callback(node.stop)
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()


def ip(*arguments: str) -> None:
    """One `ip` command in this process's namespace."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False, timeout=READY_S_MAX
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Forwarder:
    """Connections to a port of every node's loopback go to that port of this namespace's loopback.

    The embedded broker listens on 127.0.0.1 alone, and tells its clients that address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def serve(self, node: Node) -> None:
        """Forward from this node, too."""
        serving = asyncio.start_server(self._forward, sock=node.listen(self._port))
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(READY_S_MAX)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))

    def stop(self) -> None:
        """Forward nothing any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_S_MAX)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:  # one end was killed: so ends the other
        pass
    finally:
        writer.close()


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, wait_s: float = READY_S_MAX) -> int:
    """Send a signal and wait for the end; the exit code."""
    if process.poll() is None:
        process.send_signal(number)
    return process.wait(wait_s)
