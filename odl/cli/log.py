"""`odl log show --version V`: what was learned then, from where, and what was predicted before it."""

import argparse
from typing import Any

from msgspec import to_builtins

from odl.audit import Explained, explain
from odl.cli.opened import add_model_options, open_model, print_facts, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl log`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="explain one entry")
    add_model_options(show)
    show.add_argument("--version", type=int, required=True, metavar="V", help="the entry's version")


def run(args: argparse.Namespace) -> int:
    """Fold to the version before, take the entry, print both."""
    model = open_model(args)
    with progress("log show", args.version) as on_page:
        explained = explain(model.folds, args.version, on_page)
    print_facts(facts(explained), args.json)
    return 0


def facts(explained: Explained) -> dict[str, Any]:
    """What is known of an entry."""
    event, control = explained.event, explained.control
    found: dict[str, Any] = {
        "version": explained.version,
        "kind": control.action if control else "event" if event else "unreadable",
        "learned": explained.learned,
        "why_not": explained.why_not,
        "left_out_since": explained.left_out_since or None,
        "chain": explained.chain,
        "digest_before": explained.digest,
        "fold_id": explained.fold_id,
    }
    if event:
        found |= {
            "id": event.id,
            "source": event.source,
            "position": event.seq or None,
            "served_at_version": event.version if event.version or event.prediction else None,
            "time_ms": event.time_ms or None,
            "weight": event.weight,
            "label": event.y,
            "prediction_before": explained.prediction,
            "prediction_served": event.prediction,
            "corrects": event.corrects or None,
            "retracts": event.retracts or None,
            "corrected_by": explained.corrected_by,
            "features": event.x,
        }
    if control:
        found |= {"by": control.by, "note": control.note, "time_ms": control.time_ms, "to": control.to}
        found |= {"plan": to_builtins(control.plan(explained.version))}
    return found
