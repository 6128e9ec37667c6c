"""A warm process that `odl` commands are forked from: starting one costs milliseconds instead of seconds.

It is a real process that has imported odl and loaded the compiled kernel, and does nothing else: it has no
thread, no connection, no file of its own. What it forks becomes an ordinary `odl` command with a session, a
log file and signals of its own; `kill -9` hits a process like any other. Cold starts have a row of their own.
"""

import atexit
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

POLL_S = 0.01
READY_S_MAX = 180.0  # importing everything and loading the kernel, on a machine that is busy with tests
PDEATHSIG = 1  # prctl: end with the parent


class Forked:
    """A process that the zygote forked, as `subprocess.Popen` shows its own."""

    def __init__(self, zygote: "Zygote", pid: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code (-9 after kill -9); None while it runs."""
        if self.returncode is None:
            self.returncode = self._zygote.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(["odl"], timeout or 0.0)
            time.sleep(POLL_S)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; the number cannot be another process's before `poll` has seen the end."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The warm process, from outside. It ends with this one."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._socket, theirs = socket.socketpair()
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")  # so that it has no thread that a fork loses
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=theirs.fileno(), start_new_session=True, env=environment
        )
        theirs.close()
        self._lines = self._socket.makefile("r")
        self._socket.settimeout(READY_S_MAX)
        assert self._lines.readline() == "ready\n", "the zygote ended before it was warm"

    def fork(self, arguments: list[str], log_path: Path) -> Forked:
        """Begin `odl <arguments>`; what it says goes to `log_path`."""
        return Forked(self, int(self.ask({"fork": arguments, "log": str(log_path)}) or 0))

    def ask(self, request: dict[str, object]) -> int | None:
        """One request, one answer."""
        with self._mutex:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer: int | None = json.loads(self._lines.readline())
            return answer

    def stop(self) -> None:
        """End it, and with it whatever it forked."""
        self._lines.close()
        self._socket.close()
        self._process.wait()


_shared: list[Zygote] = []


def shared() -> Zygote:
    """The zygote of this process, begun when it is first needed."""
    if not _shared:
        _shared.append(Zygote())
        atexit.register(_shared[0].stop)
    return _shared[0]


# Within the zygote


def _warm() -> None:
    import hedge_model.golden
    import hedge_model.warm
    import streaming.connection
    import streaming.consumer
    import streaming.dead_letters
    import streaming.formats
    import streaming.producer  # noqa: F401 - what commands import while they start

    hedge_model.warm.warm()
    hedge_model.golden.assert_golden()
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"a process of {threads} threads cannot be forked safely"


def _serve() -> list[str]:
    """Fork whatever is asked for; returns in each child, with the command's arguments."""
    with socket.socket(fileno=os.dup(0)) as parent, parent.makefile("r") as lines:
        parent.sendall(b"ready\n")
        for line in lines:
            request = json.loads(line)
            answer = _exit_code(request["poll"]) if "poll" in request else os.fork()
            if answer == 0 and "fork" in request:
                _become(Path(request["log"]))
                arguments: list[str] = request["fork"]
                return arguments
            parent.sendall(json.dumps(answer).encode() + b"\n")
    os._exit(0)  # whoever asked is gone


def _exit_code(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(log_path: Path) -> None:
    """In the child: be a process of its own."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGTERM)
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    random.seed()


def _main() -> int:
    _warm()
    arguments = _serve()
    from odl.cli import main

    sys.argv = ["odl", *arguments]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_main())
