"""`odl export --version V model.npz`: plain weight matrices and a manifest, for scoring with NumPy alone."""

import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from hedge_model import HedgeLearner
from hedge_model.portable import export
from odl.cli.opened import add_model_options, known_scores, open_model, print_facts, progress
from odl.errors import Misconfigured
from odl.fold import Fold
from odl.replay import fold_at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl export`."""
    add_model_options(parser)
    parser.add_argument("file", type=Path, help="the .npz file to write")
    parser.add_argument("--version", type=int, metavar="V", help="the version to export (the head)")


def run(args: argparse.Namespace) -> int:
    """Fold to the version, write the file, print its manifest."""
    model = open_model(args)
    head = model.log.head()
    version = head.version if args.version is None else args.version
    with progress("export", version) as on_page:
        fold = fold_at(model.folds, version, on_page=on_page)
    manifest = write(args.file, fold, {"model": model.name, "log_id": head.log_id, "epoch": head.epoch})
    print_facts({name: value for name, value in manifest.items() if name != "sha256"}, args.json)
    return 0


def write(path: Path, fold: Fold, origin: dict[str, Any]) -> dict[str, Any]:
    """Write the arrays of a fold's learner with a manifest (a JSON text in the array `manifest`) that names
    the SHA-256 of each; the manifest. Raises `Misconfigured` if the file cannot be written."""
    learner = fold.learner
    assert isinstance(learner, HedgeLearner)
    buffer = io.BytesIO()
    export(learner, buffer)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored}
    manifest = origin | {
        "version": fold.version,
        "chain": fold.chain,
        "digest": learner.digest(),
        "fold_id": learner.fold_id,
        "spec": learner.spec.to_dict(),
        "schema": {"task": learner.spec.task, "classes": list(learner.classes), "fields": _fields(learner)},
        "scores": known_scores(fold.scores.scores()),
        "sha256": {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()},
    }
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez(file, manifest=np.array(json.dumps(manifest)), **arrays)
        part.replace(path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error}") from error
    return manifest


def _fields(learner: HedgeLearner) -> dict[str, str] | None:
    fields = learner.spec.fields
    return dict(fields) if fields is not None else None
