"""Makes the harness beside the tests importable (`fire`, `apache_kafka`), and the proxy of tests/odl."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "odl")]
