"""Ending a command cleanly: SIGTERM and Ctrl-C as an event to look at."""

import signal
import threading


def stopped_by_signal() -> threading.Event:
    """An event that is set once somebody wants this process to end."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
