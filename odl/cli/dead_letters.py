"""`odl dead-letters`: list the feedback that could not be learned, and learn it after a fix."""

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from odl.cli.opened import checked_spec, print_facts
from odl.cli.options import add_connection_options, model_config, redis_url, required
from odl.config import Config
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.redis_remembered import predictions_of

if TYPE_CHECKING:
    from streaming.dead_letters import DeadLetter

REFUSED_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl dead-letters`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, purpose in {"list": "show them", "retry": "learn them, each at most once"}.items():
        action = actions.add_parser(name, help=purpose)
        add_connection_options(action)
        action.add_argument("--reason", metavar="R", help="only these, e.g. BAD_LABEL")
        action.add_argument("--partition", type=int, metavar="N", help="only of this partition")
        action.add_argument("--offset", type=int, metavar="N", help="only the one at this offset")
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Show or retry; exit code 1 if some still cannot be learned."""
    config = model_config(args)
    brokers = required(args.kafka, "ODL_KAFKA", "Kafka brokers", "--kafka 127.0.0.1:9092")
    letters = chosen(args, brokers, config.kafka.dead_letter_topic)
    return retry(args, config, brokers, letters) if args.action == "retry" else show(args, letters)


def chosen(args: argparse.Namespace, brokers: str, topic: str) -> "Iterator[DeadLetter]":
    """The letters that the options ask for."""
    from streaming.connection import options_of
    from streaming.dead_letters import read_dead_letters

    wanted = {"reason": args.reason, "partition": args.partition, "at": args.offset}
    asked = {name: value for name, value in wanted.items() if value is not None}
    for letter in read_dead_letters(brokers, topic, options_of(os.environ)):
        if all(getattr(letter, name) == value for name, value in asked.items()):
            yield letter


def show(args: argparse.Namespace, letters: "Iterator[DeadLetter]") -> int:
    """A table for people, or JSON with the values."""
    from streaming.letter_page import facts

    found = [facts(letter) for letter in letters]
    if args.json:
        print_facts(found, True)
        return 0
    table = Table("partition", "offset", "reason", "detail", "bytes", "source offset")
    for letter in found:
        names = ("partition", "offset", "reason", "detail", "bytes", "source_offset")
        table.add_row(*(str(letter[name]) for name in names))
    Console().print(table if found else "no dead letters")
    return 0


def retry(args: argparse.Namespace, config: Config, brokers: str, letters: "Iterator[DeadLetter]") -> int:
    """Take them into the log."""
    from streaming.connection import admin_client, options_of
    from streaming.formats import open_values
    from streaming.join import Join
    from streaming.retry import Retry
    from streaming.source import identify

    client = connect(redis_url(args))
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    join = Join(log, predictions_of(config, client), config.feedback.corrections)
    kafka = config.kafka
    values = open_values(kafka.values, kafka.schema_registry, kafka.schema, os.environ)
    spec = checked_spec(config.model, f"[model] of '{config.name}'")
    topic = identify(admin_client(brokers, options_of(os.environ)), kafka.dead_letter_topic)
    done = Retry(log, spec, join, values, topic).run(letters)
    refused = [
        {"partition": letter.partition, "offset": letter.at, "reason": error.reason, "detail": str(error)}
        for letter, error in done.refused
    ]
    facts: dict[str, Any] = {
        "accepted": done.accepted,
        "duplicates": done.duplicates,
        "refused": refused if args.json else len(refused),
        "version": log.head().version,
    }
    print_facts(facts, args.json)
    if refused and not args.json:
        console = Console(stderr=True, soft_wrap=True)
        for each in refused[:REFUSED_SHOWN]:
            console.print(
                f"still refused: partition {each['partition']}, offset {each['offset']}: {each['detail']}",
                highlight=False,
                markup=False,
            )
    return 1 if refused else 0
