"""Makes the simulation's modules importable, and the hash chain learner of tests/odl."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "odl")]


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """The product's log lines about thousands of faults are nobody's to read, and cost more than the runs."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
