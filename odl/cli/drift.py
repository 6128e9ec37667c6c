"""`odl drift`: the drifts that were found and what they set off; with `--watch`, the process that does it."""

import argparse
import threading
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from odl.cli.opened import Opened, add_model_options, open_model, print_facts, spec_file
from odl.cli.options import model_config, redis_url
from odl.cli.signals import stopped_by_signal
from odl.drift import DriftRecord, DriftSettings
from odl.drift_store import RedisDrifts
from odl.errors import HistoryLost, Unavailable
from odl.redis_connection import connect

IDLE_S = 0.5  # between two looks at a log without news
TROUBLE_S = 2.0  # before a log that is out of reach is tried again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl drift`."""
    add_model_options(parser)
    parser.add_argument("--watch", action="store_true", help="run the detectors until SIGTERM or Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Print what is recorded, or watch."""
    if args.watch:
        return watch(args, stopped_by_signal())
    config = model_config(args)
    record = RedisDrifts(connect(redis_url(args)), config.name).load()
    facts = msgspec.to_builtins(record)
    if args.json:
        print_facts(facts, True)
    else:
        show(record, Console())
    return 0


def watch(args: argparse.Namespace, stopped: threading.Event) -> int:
    """Observe until `stopped`. Raises `Superseded` when somebody else observes."""
    from odl.drift_observer import DriftObserver

    config, model = model_config(args), open_model(args)
    client = connect(redis_url(args))
    store = RedisDrifts(client, config.name)
    console = Console(stderr=True)
    observer = DriftObserver(model.folds, store, config.drift, _policies(model, config.drift, client))
    console.print(f"watching drift of '{config.name}'", highlight=False)
    in_trouble = False
    try:
        while not stopped.is_set():
            try:
                wait_s = IDLE_S if observer.step() else 0.0
                in_trouble = False
            except (Unavailable, HistoryLost) as error:
                if not in_trouble:
                    console.print(f"cannot follow the log: {error}", highlight=False, markup=False)
                in_trouble, wait_s = True, TROUBLE_S
            stopped.wait(wait_s)
    finally:
        observer.close()
    return 0


def _policies(model: Opened, settings: DriftSettings, client: Any) -> Any:
    from odl.challenger import RedisChallengers
    from odl.drift_policy import DriftPolicies

    other = spec_file(Path(settings.challenger), model.spec).to_dict() if settings.challenger else None
    return DriftPolicies(
        settings,
        model.folds,
        model.lifecycle(),
        model.spec.to_dict(),
        RedisChallengers(client, model.name),
        other,
    )


def show(record: DriftRecord, console: Console) -> None:
    """The same facts for people."""
    who = f"observed by {record.observer}" if record.observer else "nobody observes (odl drift --watch)"
    console.print(f"version {record.seen}, {who}", highlight=False)
    drifts = Table("version", "field", "series", "detector", "before", "after", title="drifts")
    for drift in record.drifts:
        means = f"{drift.before:.3f}", f"{drift.after:.3f}"
        drifts.add_row(str(drift.version), drift.field, drift.series, drift.detector, *means)
    triggers = Table("drift", "field", "action", "state", "what came of it", title="triggers")
    for each in record.triggers:
        drift = each.drift
        triggers.add_row(str(drift.version), drift.field, each.action, each.state, each.outcome)
    for table in (drifts, triggers):
        if table.row_count:
            console.print(table)
