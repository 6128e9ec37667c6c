"""Makes the stand-ins beside the tests importable: `hash_learner`, `faulty_log`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
