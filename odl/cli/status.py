"""`odl status`: head, epoch, scores, replicas with version and digest, lags, snapshots, lock."""

import argparse
import json
import math
import os
import sys
from dataclasses import asdict
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odl.challenger import RedisChallengers
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.drift_store import RedisDrifts
from odl.redis_connection import connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_snapshots import RedisSnapshots
from odl.replicas import RedisReplicas, ReplicaRecord

SCORES = ("accuracy", "log_loss", "base_rate_log_loss", "auc", "mae", "rmse")
TOKEN = "ODL_TOKEN"  # where the servers' status needs one
ANSWER_S_MAX = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl status`."""
    add_connection_options(parser, kafka=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Read everything once and print it."""
    config = model_config(args)
    client = connect(redis_url(args))
    log = RedisLog(client, config.name)
    holder = RedisLock(client, config.name).holder()
    replicas = RedisReplicas(client, config.name).list()
    found: dict[str, Any] = {
        "model": config.name,
        "head": asdict(log.head()),
        "counters": asdict(log.counters()),
        "sources": log.positions(),
        "replicas": [asdict(record) for record in replicas],
        "scores": scores_of(replicas),
        "snapshots": [asdict(snapshot) for snapshot in RedisSnapshots(client, config.name).list()],
        "lock": asdict(holder) if holder else None,
        "challengers": msgspec.to_builtins(RedisChallengers(client, config.name).list()),
        "drift": msgspec.to_builtins(RedisDrifts(client, config.name).load()),
    }
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(found, Console())
    return 0


def scores_of(replicas: list[ReplicaRecord]) -> dict[str, Any] | None:
    """What the first replica that answers says of its scores: version, events, scores, weights of the depths.
    None where none can be asked."""
    token = os.environ.get(TOKEN)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    for record in replicas:
        try:
            answer = httpx.get(
                f"{record.url}/status", headers=headers, timeout=ANSWER_S_MAX
            ).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL):
            continue
        status = answer.json()
        return {name: status[name] for name in ("version", "events", *SCORES, "depth_weights")}
    return None


def show(found: dict[str, Any], console: Console) -> None:
    """The same facts for people."""
    head, counters = found["head"], found["counters"]
    console.print(
        f"[bold]{found['model']}[/bold]  version [bold]{head['version']}[/bold]  epoch {head['epoch']}  "
        f"chain {head['chain'][:12]}  duplicates {counters['duplicates']}  skipped {counters['skipped']}",
        highlight=False,
    )
    if found["scores"]:
        console.print(_scores(found["scores"]))
    replicas = Table(
        "replica", "version", "lag", "epoch", "digest", "url", title="replicas", title_justify="left"
    )
    for record in found["replicas"]:
        lag = head["version"] - record["version"]
        cells = record["id"], record["version"], lag, record["epoch"], record["digest"][:12], record["url"]
        replicas.add_row(*map(str, cells))
    sources = Table("source", "position", title="sources", title_justify="left")
    for source, position in sorted(found["sources"].items()):
        sources.add_row(source, position)
    snapshots = Table("version", "digest", "bytes", title="snapshots", title_justify="left")
    for snapshot in found["snapshots"]:
        snapshots.add_row(str(snapshot["version"]), snapshot["digest"][:12], f"{snapshot['size_bytes']:,}")
    challengers = Table(
        "challenger", "events", "its loss", "champion's", "version", title="challengers", title_justify="left"
    )
    for record in found["challengers"]:
        measure = "mae" if "mae" in record["challenger"] else "log_loss"
        losses = (f"{record[side].get(measure, math.nan):.4f}" for side in ("challenger", "champion"))
        challengers.add_row(record["name"], str(record["events"]), *losses, str(record["version"]))
    for table in (replicas, sources, snapshots, challengers):
        if table.row_count:
            console.print(table)
    drifts = found["drift"]["drifts"]
    if drifts:
        last = drifts[-1]
        console.print(
            f"drift: {len(drifts)} of late, the last of {last['field']} at version {last['version']} "
            "(odl drift)",
            highlight=False,
        )
    if found["lock"]:
        console.print(
            f"version lock: {found['lock']['owner']}, token {found['lock']['token']}", highlight=False
        )


def _scores(scores: dict[str, Any]) -> Text:
    known = [f"{name.replace('_', ' ')} {scores[name]:.4f}" for name in SCORES if scores[name] is not None]
    depths = "  ".join(f"{depth}: {weight:.2f}" for depth, weight in enumerate(scores["depth_weights"]))
    return Text(f"{scores['events']:,} events  {'  '.join(known)}\ndepths  {depths}")
