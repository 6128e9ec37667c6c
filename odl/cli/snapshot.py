"""`odl snapshot`: save the newest version now, or list what is saved."""

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from odl.cli.opened import add_model_options, open_model, print_facts, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl snapshot`."""
    add_model_options(parser)
    parser.add_argument("--list", action="store_true", help="list the snapshots, save nothing")


def run(args: argparse.Namespace) -> int:
    """Save or list."""
    model = open_model(args)
    if not args.list:
        with progress("snapshot", model.log.head().version) as on_page:
            saved = model.lifecycle(on_page).snapshot()
        print_facts(asdict(saved), args.json)
        return 0
    here = set(model.folds.snapshots_here(model.log.head().log_id))
    found = [asdict(each) | {"on_history": each in here} for each in model.snapshots.list()]
    if args.json:
        print_facts(found, True)
    else:
        show(found)
    return 0


def show(found: list[dict[str, Any]]) -> None:
    """A table for people."""
    table = Table("version", "fold", "digest", "bytes", "leads on from the log")
    for each in found:
        cells = each["version"], each["fold_id"], each["digest"][:12], f"{each['size_bytes']:,}"
        table.add_row(*map(str, cells), "yes" if each["on_history"] else "no")
    Console().print(table)
