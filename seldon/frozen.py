"""A frozen model: an exported file that answers as a replica would, by NumPy alone, and never learns.

It stands where a `Replica` stands, so that the data plane, the routes and the probes are the same ones.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

from hedge_model.portable import PortableModel
from odl.errors import InvalidEvent, Misconfigured, TooFarBehind
from odl.event import Event, Features
from odl.feedback import Receipt
from odl.learner import Schema
from odl.mailbox import Answer
from odl.status import Health, ReplicaStatus
from seldon.plane import DataPlane
from seldon.service import Service

# What reading a damaged archive of arrays can raise.
DAMAGE = (OSError, ValueError, KeyError, EOFError, BadZipFile, NotImplementedError, RuntimeError)

T = TypeVar("T")


class FrozenReplica:
    """Predicts by one exported model, at the version it was exported at."""

    def __init__(self, model: PortableModel, digest: str) -> None:
        """`digest`: identity of the file, shown in the status."""
        self.schema: Schema = model.spec
        self.replica_id = f"frozen-{digest[:12]}"
        self.fold_id = f"frozen at version {model.version}"
        self._model = model
        self._digest = digest

    remembers = False  # whose predictions nobody can teach need no memory

    def predict(
        self, rows: list[Features], min_version: int = 0, ids: Sequence[str] = ()
    ) -> "Future[Answer]":
        """Predictions at once. The future fails with `InvalidEvent` or, for a version to come,
        `TooFarBehind`."""
        return _now(lambda: self._answer(rows, min_version))

    def _answer(self, rows: list[Features], min_version: int) -> Answer:
        version = self._model.version
        if min_version > version:
            raise TooFarBehind(f"expected version {min_version}, this model is frozen at {version}")
        try:
            predictions = [self._model.predict_one(row) for row in rows]
        except ValueError as error:
            raise InvalidEvent(str(error), status=422, reason="BAD_FEATURES") from error
        return Answer(predictions, version, 0, False)

    def health(self) -> Health:
        """Always ready."""
        return Health(alive=True, ready=True, reason="", version=self._model.version, epoch=0)

    def ask_status(self, digest: bool = True) -> "Future[ReplicaStatus]":
        """The status; the digest is the file's."""
        return _now(self.status)

    def status(self, digest: bool = True, timeout_s: float = 0.0) -> ReplicaStatus:
        """What is known of the exported model."""
        return ReplicaStatus(
            replica_id=self.replica_id,
            version=self._model.version,
            epoch=0,
            chain="",
            digest=self._digest,
            fold_id=self.fold_id,
            events=0,
            log_id="",
            lag=0,
            accuracy=None,
            log_loss=None,
            base_rate_log_loss=None,
            auc=None,
            mae=None,
            rmse=None,
            depth_weights=[],
            skipped=0,
            resets=0,
            ready=True,
            reason="",
        )


class RefusingSink:
    """Where feedback for a frozen model goes: nowhere, and its sender is told."""

    def submit(self, event: Event) -> Receipt:
        """Raises `InvalidEvent`."""
        raise InvalidEvent(
            "this model is frozen and learns nothing: send feedback to the service it was exported from",
            status=405,
            reason="FROZEN",
        )


def open_frozen(file: Path) -> Service:
    """The service of an exported model. Raises `Misconfigured` for a file that is none, or damaged."""
    try:
        data = file.read_bytes()
        model = PortableModel.load(BytesIO(data))
    except DAMAGE as error:
        raise Misconfigured(f"cannot serve {file}: {error}") from error
    replica: Any = FrozenReplica(model, sha256(data).hexdigest())
    return Service(
        file.stem,
        replica,
        DataPlane(replica, RefusingSink(), names=list(model.spec.fields or {})),
        ExitStack(),
        task=model.spec.task,
        fields=model.spec.fields,
        classes=model.spec.classes,
        learns=False,
        greeting=f"frozen model '{file.stem}' of version {model.version}",
    )


def _now(function: Callable[[], T]) -> "Future[T]":
    """A future that is done, in the way `function` ended."""
    future: Future[T] = Future()
    try:
        future.set_result(function())
    except (InvalidEvent, TooFarBehind) as error:
        future.set_exception(error)
    return future
