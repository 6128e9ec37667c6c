"""Makes the harness beside the tests importable: `fire`, `apache_kafka`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
