"""An `odl` command that is treated badly, forked from the warm process or started cold."""

import os
import re
import signal
from pathlib import Path

from fire import zygote
from fire.waiting import wait_until
from odl.cli.demo.processes import Child


class Process(Child):
    """One `odl` command as a process of its own; what it says goes to `log_path`."""

    def __init__(self, name: str, arguments: list[str], log_path: Path, *, cold: bool = False) -> None:
        """`cold`: from a new interpreter, as in life; else forked, which is as real but starts at once."""
        self._url = ""
        if cold:
            super().__init__(name, arguments, log_path)
        else:
            self.name, self.log_path = name, log_path
            log_path.touch()
            self._process = zygote.shared().fork(arguments, log_path)  # type: ignore[assignment]

    def kill(self) -> bool:
        """kill -9; whether it was running."""
        if self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        return True

    def pause(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(self._is_stopped, f"{self.name} has stopped")

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process.poll() is None:
            self.resume()
        super().stop()

    @property
    def url(self) -> str:
        """Where a replica serves; empty as long as it does not."""
        if not self._url:
            found = re.search(r" at (http://\S+)\n", self.said())
            self._url = found[1] if found else ""
        return self._url

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def said(self) -> str:
        """What it has printed."""
        return self.log_path.read_text(errors="replace")
