"""Which core is whose."""

import os

_ALL = sorted(os.sched_getaffinity(0))
SERVER = (_ALL[-1],)  # the server under test
CLIENT = tuple(_ALL[:1])  # who asks, and Redis; the same core on a machine with one
