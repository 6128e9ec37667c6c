"""A model opened by a command: its log, snapshots and lock, and the folds that its spec makes."""

import argparse
import getpass
import json
import os
import socket
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hedge_model import HedgeLearner
from hedge_model.golden import MachineDiffers, assert_golden
from hedge_model.spec import ModelSpec
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.errors import Misconfigured
from odl.folds import Folds
from odl.lifecycle import Changed, Lifecycle, OnPage
from odl.log import Log
from odl.prequential import Scores
from odl.redis_connection import connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything of one model that a command works on."""

    name: str
    spec: ModelSpec  # of the model file
    log: Log
    snapshots: RedisSnapshots
    lock: RedisLock
    folds: Folds

    def lifecycle(self, on_page: OnPage | None = None) -> Lifecycle:
        """The operator who gave this command."""
        return Lifecycle(
            self.folds,
            HedgeLearner.from_bytes,
            self.snapshots,
            self.lock,
            spec=self.spec.to_dict(),
            by=operator(),
            on_page=on_page,
        )


def operator() -> str:
    """Who gives a command, and where; in a container the user may have a number only."""
    try:
        name = getpass.getuser()
    except KeyError:
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--redis` and `--json`."""
    add_connection_options(parser, kafka=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def open_model(args: argparse.Namespace) -> Opened:
    """The model that the options name, if this machine computes what its replicas compute. Raises
    `Misconfigured` or `Unavailable`."""
    try:
        assert_golden()
    except MachineDiffers as error:
        raise Misconfigured(str(error)) from error
    config = model_config(args)
    spec = checked_spec(config.model, f"[model] of '{config.name}'")
    client = connect(redis_url(args))
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    snapshots = RedisSnapshots(client, config.name)
    folds = Folds(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, snapshots, learner_of)
    owner = log.head().fold_id
    if owner and owner != folds.fold_id:
        raise Misconfigured(
            f"the log of '{config.name}' belongs to fold {owner}, this model file makes {folds.fold_id}: "
            "use the model file that its replicas use"
        )
    return Opened(config.name, spec, log, snapshots, RedisLock(client, config.name), folds)


def learner_of(spec: dict[str, Any]) -> HedgeLearner:
    """A new learner of the spec that a control entry names."""
    return HedgeLearner(ModelSpec.from_dict(spec))


def checked_spec(model: dict[str, Any], origin: str) -> ModelSpec:
    """The spec of a `[model]` table. Raises `Misconfigured`."""
    try:
        return ModelSpec.from_dict(model)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"{origin}: {error}") from error


def spec_file(path: Path, present: ModelSpec) -> ModelSpec:
    """The spec in another model file, for the same task. Raises `Misconfigured`."""
    try:
        model = tomllib.loads(path.read_text()).get("model")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error
    if not isinstance(model, dict):
        raise Misconfigured(f"{path}: expected a [model] table, found none")
    spec = checked_spec(model, str(path))
    if spec.task != present.task:
        raise Misconfigured(
            f"{path}: expected task '{present.task}', whose answers clients read, received '{spec.task}'"
        )
    return spec


@contextmanager
def progress(what: str, total: int) -> Iterator[OnPage]:
    """A bar on standard error while something is folded up to version `total`."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda fold: bar.update(task, completed=fold.version)


def known_scores(scores: Scores) -> dict[str, Any]:
    """Scores without those that do not apply to the task."""
    return {name: value for name, value in asdict(scores).items() if value is not None}


def changed_facts(name: str, changed: Changed) -> dict[str, Any]:
    """What a rollback or promotion says when it is done."""
    control, fold = changed.control, changed.fold
    return {
        "model": name,
        "action": control.action,
        "version": changed.version,
        "to": control.to,
        "fold_id": fold.learner.fold_id,
        "digest": fold.learner.digest(),
        "left_out": [list(each) for each in fold.plan.left_out],
        "without": list(fold.plan.without),
        "snapshot": changed.snapshot is not None,
        "scores": known_scores(fold.scores.scores()),
    }


def print_facts(facts: Any, as_json: bool) -> None:
    """As JSON, or one line a fact."""
    if as_json:
        json.dump(facts, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    console = Console(soft_wrap=True)
    for key, value in facts.items():
        if isinstance(value, dict):
            value = "  ".join(f"{k} {_shown(v)}" for k, v in value.items())
        console.print(f"{key.replace('_', ' '):20} {_shown(value)}", highlight=False, markup=False)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)


def confirm(question: str, yes: bool) -> bool:
    """Whether the operator means it. Raises `Misconfigured` where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Misconfigured(f"{question} Pass --yes to do it without being asked")
    sys.stderr.write(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
