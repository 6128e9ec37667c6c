"""`odl archive`: write the log to Parquet files, on a disk or wherever fsspec reaches; safe to repeat."""

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from odl.archive import SEGMENT_ROWS, Archive, Archived, archive
from odl.cli.opened import print_facts
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.cli.signals import stopped_by_signal
from odl.config import Config
from odl.errors import HistoryLost, Misconfigured, Unavailable
from odl.folder import Folder
from odl.log import Log
from odl.redis_connection import connect
from odl.redis_log import RedisLog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl archive`."""
    add_connection_options(parser, kafka=False)
    parser.add_argument("--to", metavar="URL", help="folder or s3://bucket/path; else archive in [log]")
    parser.add_argument("--every", type=float, metavar="S", help="again every S seconds until Ctrl-C")
    parser.add_argument(
        "--rows", type=int, default=SEGMENT_ROWS, metavar="N", help=f"entries of one file ({SEGMENT_ROWS:,})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Archive up to the head, once or again and again."""
    if args.rows < 1:
        raise Misconfigured(f"expected at least one entry a file in --rows, received {args.rows}")
    config = model_config(args)
    log = RedisLog(connect(redis_url(args)), config.name)
    store = Archive(Folder(destination(args.to, config)))
    if args.every is None:
        print_facts(facts(config, store, archive_with_progress(log, store, args.rows)), args.json)
        return 0
    console, stopped = Console(stderr=True), stopped_by_signal()
    while True:
        try:
            done = archive(log, store, rows=args.rows)
            if done.added:
                console.print(f"archived up to version {done.end}", highlight=False)
        except (Unavailable, HistoryLost) as error:
            console.print(f"not archived: {error}", highlight=False, markup=False)
        if stopped.wait(args.every):
            return 0


def destination(url: str | None, config: Config) -> str:
    """The folder that was named. Raises `Misconfigured`."""
    chosen = url or config.log.archive
    if not chosen:
        raise Misconfigured("expected a folder: pass `--to archive/`, or set `archive` in [log]")
    return chosen


def archive_with_progress(log: Log, store: Archive, rows: int) -> Archived:
    """One run with a bar on standard error."""
    columns = (TextColumn("archive"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("archive", total=None)
        return archive(
            log, store, rows=rows, on_progress=lambda done, to: bar.update(task, completed=done, total=to)
        )


def facts(config: Config, store: Archive, done: Archived) -> dict[str, Any]:
    """What is archived now."""
    return {"model": config.name, "archive": store.folder.url, **asdict(done)}
