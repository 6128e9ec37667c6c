"""A folder of files that are written once: on a local disk, or wherever fsspec reaches (`s3://bucket/path`).

A file appears whole or not at all. Object stores give that by themselves; on a disk it takes a rename.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from odl.errors import Misconfigured, Unavailable


class Folder:
    """The files below `url`, by name. Every method raises `Unavailable` when the storage does."""

    def __init__(self, url: str) -> None:
        """Raises `Misconfigured` without the extra `lake`, or for a kind of storage that is not installed."""
        try:
            fsspec: Any = import_module("fsspec.core")
        except ImportError as error:
            raise Misconfigured("an archive needs the extra `lake`: pip install 'odl[lake]'") from error
        self.url = url
        try:
            self._files, self._root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise Misconfigured(f"expected a folder or a URL such as s3://bucket/path: {error}") from error
        protocol = self._files.protocol
        self._is_local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def names(self) -> list[str]:
        """Names of the files that are there; none if the folder does not exist."""
        with self._reaching("listed"):
            self._files.invalidate_cache()  # others write here, too
            if not self._files.exists(self._root):
                return []
            return sorted(str(path).rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False))

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        with self._reaching(f"read ({name})"):
            return bytes(self._files.cat_file(self._path(name)))

    def write(self, name: str, data: bytes) -> None:
        """Put one file there, whole or not at all; one of that name is replaced."""
        with self._reaching(f"written ({name})"):
            if not self._is_local:
                self._files.pipe_file(self._path(name), data)
                return
            os.makedirs(self._root, exist_ok=True)
            draft = self._path(f".{name}.{uuid.uuid4().hex}")
            with open(draft, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path(name))

    def remove(self, name: str) -> None:
        """Remove one file, if it is there."""
        with self._reaching(f"cleaned ({name})"):
            if self._files.exists(self._path(name)):
                self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        try:
            yield
        except _storage_errors() as error:
            raise Unavailable(f"{self.url} cannot be {what}: {error or type(error).__name__}") from error


def _storage_errors() -> tuple[type[BaseException], ...]:
    # S3's client has errors of its own, for credentials that are missing, say; it is loaded if it is used.
    botocore: Any = sys.modules.get("botocore.exceptions")
    return (OSError, botocore.BotoCoreError, botocore.ClientError) if botocore else (OSError,)
