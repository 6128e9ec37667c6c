"""`odl adopt`: hand the log over to the fold of this model file and release; others refuse then."""

import argparse

from rich.console import Console

from hedge_model import HedgeLearner
from hedge_model.spec import ModelSpec
from odl.adopt import adopt
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.redis_connection import connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl adopt`."""
    add_connection_options(parser, kafka=False)


def run(args: argparse.Namespace) -> int:
    """Adopt and say what changed."""
    config = model_config(args)
    spec = ModelSpec.from_dict(config.model)
    client = connect(redis_url(args))
    log = RedisLog(client, config.name)
    before = log.head().fold_id or "none"
    snapshots, lock = RedisSnapshots(client, config.name), RedisLock(client, config.name)
    head = adopt(log, snapshots, lock, HedgeLearner(spec).fold_id, HedgeLearner.from_bytes)
    console = Console()
    if head.fold_id == before:
        console.print(f"the log of '{config.name}' belongs to fold {before} already", highlight=False)
    else:
        console.print(
            f"the log of '{config.name}', version {head.version}, went from fold {before} to {head.fold_id}: "
            "restart the replicas that have the old model file or release",
            highlight=False,
        )
    return 0
