"""`odl rollback --to V`: bring the state of an earlier version back, on every replica, by a log entry."""

import argparse

from odl.cli.opened import add_model_options, changed_facts, confirm, open_model, print_facts, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl rollback`."""
    add_model_options(parser)
    parser.add_argument("--to", type=int, required=True, metavar="V", help="the version to return to")
    parser.add_argument("--note", default="", help="why; stands in the log")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Ask, roll back, print."""
    model = open_model(args)
    head = model.log.head()
    taught = head.version - args.to
    question = f"Roll '{model.name}' back from version {head.version} to {args.to}: {taught} entries undone?"
    if 0 <= args.to < head.version and not confirm(question, args.yes):
        return 1
    with progress("rollback", args.to) as on_page:
        changed = model.lifecycle(on_page).rollback(args.to, expected=head, note=args.note)
    print_facts(changed_facts(model.name, changed), args.json)
    return 0
