"""`odl backfill`: rows of a CSV or Parquet file, or a topic's history, into the log, each exactly once."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hedge_model.spec import ModelSpec
from odl.cli.opened import checked_spec, print_facts
from odl.cli.options import add_connection_options, model_config, redis_url, required
from odl.cli.table import open_table
from odl.config import Config
from odl.errors import Misconfigured
from odl.redis_connection import check_server, connect
from odl.redis_log import RedisLog
from odl.redis_remembered import predictions_of

if TYPE_CHECKING:
    from streaming.file_rows import FileRows, Read
    from streaming.row_events import Columns
    from streaming.topic_rows import TopicRows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl backfill`."""
    parser.add_argument("data", help="FILE.csv, FILE.parquet, or kafka:TOPIC[@OFFSET]; oldest row first")
    parser.add_argument("--label", metavar="COLUMN", help="what to learn (not for events in a topic)")
    parser.add_argument("--id", default="", metavar="COLUMN", help="event id; else made of content and row")
    parser.add_argument("--time", default="", metavar="COLUMN", help="ISO 8601, or Unix seconds")
    parser.add_argument("--skip-bad", action="store_true", help="pass over rows that cannot be learned")
    add_connection_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Take all rows; exit code 2 at the first one that cannot be learned, unless told to pass it over."""
    from streaming.backfill import Backfill
    from streaming.file_rows import FileRows
    from streaming.join import Join

    config = model_config(args)
    spec = checked_spec(config.model, f"[model] of '{config.name}'")
    client = connect(redis_url(args))
    check_server(client, require_fsync_always=bool(config.log.require_fsync_always))
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    rows = open_rows(args, config, spec)
    log.create()
    columns = (
        TextColumn("backfill"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[why]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("backfill", total=rows.total, why="")
        backfill = Backfill(
            log,
            spec,
            Join(log, predictions_of(config, client), config.feedback.corrections),
            skip_bad=args.skip_bad,
            on_rows=lambda done: bar.update(task, completed=done),
            on_wait=lambda why: bar.update(task, why=why),
        )
        if not args.skip_bad and isinstance(rows, FileRows):
            backfill.check(rows)
        filled = backfill.run(rows)
    facts: dict[str, Any] = {"model": config.name, "rows": rows.total, **asdict(filled)}
    facts |= {"before": rows.total - filled.rows, "version": log.head().version}
    print_facts(facts, args.json)
    return 0


def open_rows(args: argparse.Namespace, config: Config, spec: ModelSpec) -> "FileRows | TopicRows":
    """The rows that were named. Raises `Misconfigured`."""
    from streaming.row_events import Columns

    is_number = spec.task == "regression"
    columns = Columns(args.label, args.id, args.time) if args.label else None
    if args.data.startswith("kafka:"):
        return open_topic(args, config, columns, is_number)
    if columns is None:
        raise Misconfigured("expected the column to learn: pass `--label COLUMN`")
    return open_file(Path(args.data), columns, is_number)


def open_topic(
    args: argparse.Namespace, config: Config, columns: "Columns | None", is_number: bool
) -> "TopicRows":
    """A topic's history, read as [kafka] says."""
    from streaming.connection import options_of
    from streaming.formats import open_values
    from streaming.topic_rows import TopicRows, parse_topic

    topic, first = parse_topic(args.data)
    brokers = required(args.kafka, "ODL_KAFKA", "Kafka brokers", "--kafka 127.0.0.1:9092")
    kafka = config.kafka
    values = open_values(kafka.values, kafka.schema_registry, kafka.schema, os.environ)
    options = options_of(os.environ)
    return TopicRows(brokers, topic, first, values, columns, number_labels=is_number, options=options)


def open_file(path: Path, columns: "Columns", is_number: bool) -> "FileRows":
    """The rows of a file, by its ending. Raises `Misconfigured` for a column that is not there."""
    from streaming.file_rows import FileRows, parquet_rows

    if path.suffix.lower() == ".csv":
        names, total, read = csv_rows(path, columns)
    elif path.suffix.lower() in (".parquet", ".pq"):
        names, total, read = parquet_rows(path)
    else:
        raise Misconfigured(f"expected a file that ends in .csv or .parquet, or kafka:TOPIC; received {path}")
    for option, name in (("--label", columns.label), ("--id", columns.id), ("--time", columns.time)):
        if name and name not in names:
            raise Misconfigured(f"{path} has no column '{name}' ({option}); it has {', '.join(names)}")
    return FileRows(path, columns, read, total, number_labels=is_number)


def csv_rows(path: Path, columns: "Columns") -> "tuple[list[str], int, Read]":
    """Columns, number of rows, and the rows of a CSV file. Ids and times are read as they are written: 007
    is not 7."""
    table = open_table(path)
    return list(table.names), table.rows, lambda: table.examples((columns.id, columns.time))
