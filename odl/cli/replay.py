"""`odl replay`: fold the log offline, independent of every replica; version, chain, digest, scores.

With another spec, a source left out or a version to begin after, it folds the log twice and prints both
side by side: what the model is, and what it would be.
"""

import argparse
from dataclasses import replace as with_other
from typing import Any

from rich.console import Console
from rich.table import Table

from hedge_model import HedgeLearner
from odl.archive import Archive
from odl.archived_log import ArchivedLog
from odl.cli.opened import (
    Opened,
    add_model_options,
    known_scores,
    learner_of,
    open_model,
    print_facts,
    progress,
    spec_file,
)
from odl.cli.promote import add_plan_arguments
from odl.control import Plan, merge
from odl.errors import HistoryLost
from odl.folder import Folder
from odl.replay import OnPage, Replayed, fold_at, outcome, replay

CELL = 20  # characters of a digest or chain: enough to compare, and two fit beside each other


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl replay`."""
    add_model_options(parser)
    parser.add_argument("--to", type=int, metavar="V", help="stop at this version (the head)")
    parser.add_argument("--archive", metavar="URL", help="read what was trimmed from here (`odl archive`)")
    add_plan_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Fold and print."""
    model = open_model(args)
    if args.archive:
        log = ArchivedLog(model.log, Archive(Folder(args.archive)))
        model = with_other(model, log=log, folds=model.folds.on(log))
    to = model.log.head().version if args.to is None else args.to
    present = fold(model, to, None)
    if not (args.spec or args.without or args.after or args.all_history):
        print_facts(summary(present), args.json)
        return 0
    other = fold(model, to, plan(args, model, to))
    both = {"as_it_is": summary(present), "what_if": summary(other)}
    if args.json:
        print_facts(both, True)
    else:
        show(both)
    return 0


def plan(args: argparse.Namespace, model: Opened, to: int) -> Plan:
    """The plan in force at `to`, changed as the options say."""
    in_force = model.folds.plan_at(to)
    kept = Plan(spec=in_force.spec) if args.all_history else in_force
    return Plan(
        spec=spec_file(args.spec, model.spec).to_dict() if args.spec else kept.spec,
        left_out=merge((*kept.left_out, (1, args.after))),
        without=tuple(sorted({*kept.without, *args.without})),
    )


def fold(model: Opened, to: int, what_if: Plan | None) -> Replayed:
    """Fold from the log's beginning; from a snapshot only where the log was trimmed."""

    def folded(on_page: OnPage) -> Replayed:
        try:
            return replay(
                model.log,
                lambda: HedgeLearner(model.spec),
                to=to,
                plan=what_if,
                learner_of=learner_of,
                on_page=on_page,
            )
        except HistoryLost:
            if what_if is not None:
                raise
            return outcome(fold_at(model.folds, to, on_page=on_page))

    with progress("replay", to) as on_page:
        return folded(on_page)


def summary(done: Replayed) -> dict[str, Any]:
    """What `odl replay` prints; scores that do not apply to the task are left out."""
    counts = {"version": done.version, "chain": done.chain, "digest": done.digest, "fold_id": done.fold_id}
    return counts | {"skipped": done.skipped} | known_scores(done.scores)


def show(both: dict[str, dict[str, Any]]) -> None:
    """Two columns for people."""
    table = Table("", *(name.replace("_", " ") for name in both))
    names = list(dict.fromkeys(name for found in both.values() for name in found))
    for name in names:
        cells = [found.get(name, "") for found in both.values()]
        shown = (f"{cell:.4f}" if isinstance(cell, float) else str(cell)[:CELL] for cell in cells)
        table.add_row(name.replace("_", " "), *shown)
    Console().print(table)
