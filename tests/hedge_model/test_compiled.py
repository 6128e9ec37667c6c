"""Compiled code is kept beside the sources, stamped with all of them, and used where all is read-only."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hedge_model
from hedge_model.golden import golden_digest
from hedge_model.kernel.compiled import sources_digest

COUNT_HITS = """
import logging, pathlib, sys
logging.basicConfig()
import hedge_model
from hedge_model.golden import assert_golden
from hedge_model.kernel.fold import fold
assert_golden()
hits = sum(fold.stats.cache_hits.values())
misses = sum(fold.stats.cache_misses.values())
print(pathlib.Path(hedge_model.__file__).parent.parent, hits, misses, "tensorflow" in sys.modules)
"""


@pytest.fixture
def copy_of_package() -> Iterator[Path]:
    """The package with its compiled code, in a directory that others may read."""
    golden_digest()  # compiles what is not compiled yet
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    shutil.copytree(Path(hedge_model.__file__).parent, directory / "hedge_model")
    yield directory
    for path in directory.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(directory)


def _obey_permissions() -> None:
    """Let root, too, write only where the mode allows it: drop CAP_DAC_OVERRIDE before the program starts."""
    drop_from_bounding_set, override_permissions = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


def _run(directory: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(directory), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", COUNT_HITS],
        cwd=directory,
        env=environment,
        preexec_fn=_obey_permissions,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_a_read_only_installation_uses_the_code_compiled_when_it_was_built(copy_of_package: Path) -> None:
    for path in copy_of_package.rglob("*"):
        path.chmod(0o555)
    assert _run(copy_of_package) == [str(copy_of_package), "1", "0", "False"]


def test_a_change_in_any_source_of_the_kernel_is_a_new_stamp(tmp_path: Path) -> None:
    folder = Path(hedge_model.__file__).parent / "kernel"
    shutil.copytree(folder, tmp_path / "kernel", ignore=shutil.ignore_patterns("__pycache__"))
    assert sources_digest(tmp_path / "kernel") == sources_digest()
    with (tmp_path / "kernel" / "rows.py").open("a") as file:
        file.write("# changed\n")
    assert sources_digest(tmp_path / "kernel") != sources_digest()
