"""`odl promote`: replace the learner by another fold of the same log, on every replica, by an entry in it."""

import argparse
from pathlib import Path

from odl.cli.opened import (
    add_model_options,
    changed_facts,
    confirm,
    open_model,
    print_facts,
    progress,
    spec_file,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl promote`."""
    add_model_options(parser)
    add_plan_arguments(parser)
    parser.add_argument("--note", default="", help="why; stands in the log")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """What another fold is made of; `odl replay` tries it, `odl promote` does it."""
    parser.add_argument("--spec", type=Path, metavar="FILE.toml", help="a file with another [model] table")
    parser.add_argument(
        "--from", type=int, default=0, dest="after", metavar="V", help="learn only what came after version V"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="SOURCE", help="leave a source out; repeatable"
    )
    parser.add_argument(
        "--all-history", action="store_true", help="learn, too, what rollbacks and promotions left out"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, fold, promote, print."""
    model = open_model(args)
    head = model.log.head()
    spec = spec_file(args.spec, model.spec) if args.spec else None
    if not confirm(f"Replace the learner of '{model.name}' at version {head.version}?", args.yes):
        return 1
    with progress("promote", head.version) as on_page:
        changed = model.lifecycle(on_page).promote(
            spec=spec.to_dict() if spec else None,
            after=args.after,
            without=frozenset(args.without),
            afresh=args.all_history,
            expected=head,
            note=args.note,
        )
    print_facts(changed_facts(model.name, changed), args.json)
    return 0
