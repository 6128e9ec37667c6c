"""Packages that the benchmarks can use and do not need."""

import importlib
from typing import Any


def wanted(module: str, package: str) -> Any:
    """The module. Raises `SystemExit` saying what to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"this learner or stream needs {package}: pip install '{package}' ({error})"
        ) from error
