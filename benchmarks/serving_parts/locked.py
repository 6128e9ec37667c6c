"""The environment of a server's image: the packages of `requirements/server.txt`, and no others.

What else is installed for tests and benchmarks changes what a serving process loads (numba takes SciPy for
its BLAS where it finds it), and so its memory.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from serving_parts.servers import ON_PATH, ROOT

LOCK = ROOT / "requirements" / "server.txt"
FOLDER = ROOT / "build" / "server-env"


def locked_python() -> str | None:
    """An interpreter with exactly those packages, made by uv where it is missing or old; None where that
    cannot be (no uv, or no registry within reach). The kernel is compiled for it."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        return None
    python, done = FOLDER / "bin" / "python", FOLDER / "lock.txt"
    if not done.exists() or done.read_bytes() != LOCK.read_bytes():
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER)],
            [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(LOCK)],
        ):
            if subprocess.run(command, check=False).returncode:
                return None
        done.write_bytes(LOCK.read_bytes())
    subprocess.run([str(python), "-m", "hedge_model.warm"], env=os.environ | ON_PATH, cwd=ROOT, check=True)
    return str(python)
