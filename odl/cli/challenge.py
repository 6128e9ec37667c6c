"""`odl challenge`: fold another spec over the same log, scored beside the model that serves."""

import argparse
import threading
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from odl.challenger import Challenger, ChallengerRecord, RedisChallengers
from odl.cli.opened import add_model_options, open_model, print_facts, spec_file
from odl.cli.options import redis_url
from odl.cli.signals import stopped_by_signal
from odl.errors import HistoryLost, Misconfigured, Unavailable
from odl.redis_connection import connect

IDLE_S = 0.5  # between two looks at a log without news
TROUBLE_S = 2.0  # before a log that is out of reach is tried again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl challenge`."""
    add_model_options(parser)
    parser.add_argument("--spec", type=Path, metavar="FILE.toml", help="a file with another [model] table")
    parser.add_argument("--name", default="", help="what it is called (the file's name)")
    parser.add_argument(
        "--from", type=int, default=0, dest="after", metavar="V", help="learn only what came after version V"
    )
    parser.add_argument(
        "--since", type=int, metavar="V", help="score what came after version V (from now on)"
    )
    parser.add_argument("--once", action="store_true", help="stop at the head and print the scores")
    parser.add_argument("--forget", metavar="NAME", help="take a challenger off the list, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Challenge until SIGTERM or Ctrl-C."""
    return challenge(args, stopped_by_signal())


def challenge(args: argparse.Namespace, stopped: threading.Event) -> int:
    """Challenge until `stopped`, or up to the head."""
    model = open_model(args)
    records = RedisChallengers(connect(redis_url(args)), model.name)
    if args.forget:
        records.remove(args.forget)
        return 0
    if args.spec is None and not args.after:
        raise Misconfigured("expected what is to challenge: --spec other.toml, or --from a version")
    spec = spec_file(args.spec, model.spec).to_dict() if args.spec else None
    name = args.name or (args.spec.stem if args.spec else f"from-{args.after}")
    origin = str(args.spec) if args.spec else ""
    challenger = Challenger(name, model.folds, spec, after=args.after, since=args.since, origin=origin)
    console = Console(stderr=True)
    console.print(f"'{name}' challenges '{model.name}'", highlight=False)
    in_trouble = False
    while not stopped.is_set():
        try:
            is_there, in_trouble = challenger.step(), False
        except (Unavailable, HistoryLost) as error:
            if not in_trouble:
                console.print(f"cannot follow the log: {error}", highlight=False, markup=False)
            in_trouble = True
            stopped.wait(TROUBLE_S)
            continue
        record = challenger.record()
        if record is not None:
            records.publish(record)
        if is_there and args.once and record is not None:
            print_facts(facts(record), args.json)
            return 0
        stopped.wait(IDLE_S if is_there else 0.0)
    return 0


def facts(record: ChallengerRecord) -> dict[str, Any]:
    """What is known of a challenger, and whether it is better."""
    return {**msgspec.to_builtins(record), "is_better": record.is_better()}
