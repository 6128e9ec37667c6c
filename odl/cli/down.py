"""`odl down`: stop what `odl up --background` started."""

import argparse
import os
import signal
import time
from pathlib import Path

from rich.console import Console

from odl.cli.up import running_pid
from odl.errors import Unavailable

STOP_S_MAX = 15.0  # Redis writes its last bytes; more than this is a fault worth reporting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl down`."""
    parser.add_argument("--dir", type=Path, default=Path(".odl/up"), help="data directory (.odl/up)")


def run(args: argparse.Namespace) -> int:
    """Ask it to end, wait until it has."""
    console = Console()
    pid = running_pid(args.dir)
    if pid is None:
        console.print(f"Nothing is running with {args.dir}.", highlight=False)
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S_MAX
    while running_pid(args.dir) is not None:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"`odl up` (pid {pid}) did not end within {STOP_S_MAX:.0f} s; see {args.dir}/up.log"
            )
        time.sleep(0.05)
    console.print("Stopped. The data is kept; `odl up` continues with it.", highlight=False)
    return 0
