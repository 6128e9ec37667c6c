"""The clock of leases and heartbeats in memory; passed as a parameter, so that tests set the time."""

import time


def monotonic_ms() -> int:
    """Milliseconds that never go back."""
    return time.monotonic_ns() // 1_000_000
