"""`odl replay`: fold the log offline, independent of every replica; version, chain, digest, scores."""

import argparse
import json
import sys
from typing import Any

from msgspec.structs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hedge_model import HedgeLearner
from hedge_model.spec import ModelSpec
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replay import Replayed, replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl replay`."""
    add_connection_options(parser, kafka=False)
    parser.add_argument("--to", type=int, metavar="V", help="stop at this version (the head)")
    parser.add_argument(
        "--without", action="append", default=[], metavar="SOURCE", help="leave a source out; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Fold and print."""
    config = model_config(args)
    spec = ModelSpec.from_dict(config.model)
    log = RedisLog(connect(redis_url(args)), config.name)
    total = log.head().version if args.to is None else args.to
    console = Console(stderr=True)
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replay", total=total)
        done = replay(
            log,
            lambda: HedgeLearner(spec),
            to=args.to,
            without=frozenset(args.without),
            on_event=lambda *_: progress.advance(task),
        )
    found = summary(done)
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for key, value in found.items():
            Console().print(
                f"{key:20} {value:.4f}" if isinstance(value, float) else f"{key:20} {value}", highlight=False
            )
    return 0


def summary(done: Replayed) -> dict[str, Any]:
    """What `odl replay` prints; scores that do not apply to the task are left out."""
    counts = {"version": done.version, "chain": done.chain, "digest": done.digest, "skipped": done.skipped}
    return counts | {name: value for name, value in asdict(done.scores).items() if value is not None}
