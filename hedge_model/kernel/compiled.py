"""How this folder compiles: strict IEEE arithmetic, no reordering, and a cache that knows all sources.

Compiled functions are typed by numba when they are called, so their modules say `mypy: allow-untyped-defs`.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.extending import intrinsic

_STRICT = {"fastmath": False, "error_model": "numpy", "no_cfunc_wrapper": True}
_log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Any:
    """A function called by compiled code only; made without what Python or C would need to call it.

    It becomes part of its callers: a call would pass every number of a plan and of its arrays through memory.
    """
    return numba.njit(**_STRICT, no_cpython_wrapper=True, forceinline=True)(function)


def entry(function: Callable[..., Any]) -> Any:
    """A function called from Python: cached on disk, runs without the interpreter's lock."""
    dispatcher = numba.njit(**_STRICT, nogil=True)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher


def builtin(function: Callable[..., Any]) -> Any:
    """An operation that generates its own instructions."""
    return intrinsic(function)


def sources_digest(folder: Path = Path(__file__).parent) -> str:
    """Digest of a folder's sources. Functions of one module are compiled into those of another, so numba's
    own stamp, of the function's file alone, would keep stale code."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _Sources:
    """Locators that stamp cached code with the sources of the whole folder."""

    def get_source_stamp(self) -> str:
        return sources_digest()


class _Chosen(_Sources, UserProvidedCacheLocator):  # type: ignore[misc]  # numba has no types
    """The directory of NUMBA_CACHE_DIR."""


class _Beside(_Sources, InTreeCacheLocator):  # type: ignore[misc]
    """`__pycache__` beside the sources; read-only will do if something was compiled there before."""

    @classmethod
    def from_function(cls, function: Any, file: str) -> Self | None:
        found: Self | None = super().from_function(function, file)
        if found is None and any(Path(file).parent.glob(f"__pycache__/*.{function.__qualname__}-*.nbi")):
            found = cls(function, file)
        return found


class _OfUser(_Sources, UserWideCacheLocator):  # type: ignore[misc]
    """The user's cache directory."""


class _CacheFiles(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = [_Chosen, _Beside, _OfUser]


class _Cache(FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheFiles

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except OSError as error:
            _log.warning("compiled code is not kept, so every start compiles anew: %s", error)
