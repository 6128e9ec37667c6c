"""`odl consume`: Kafka feedback into the log, one event at a time, exactly once."""

import argparse
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console

from hedge_model.spec import ModelSpec
from odl.cli.options import add_connection_options, model_config, redis_url, required
from odl.errors import Misconfigured
from odl.logs import configure_logs
from odl.redis_connection import check_server, connect
from odl.redis_log import RedisLog
from odl.redis_remembered import predictions_of

if TYPE_CHECKING:
    from streaming.consumer import FeedbackConsumer
    from streaming.steps import ConsumerStats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl consume`."""
    add_connection_options(parser)
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="answer Prometheus here (0: a free one); else ODL_METRICS_PORT, else not at all",
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", help="address for that (127.0.0.1)")


def run(args: argparse.Namespace) -> int:
    """Consume until SIGTERM or Ctrl-C."""
    from streaming.connection import admin_client, check_broker, options_of
    from streaming.consumer import FeedbackConsumer
    from streaming.dead_letters import DeadLetters
    from streaming.formats import open_values
    from streaming.join import Join
    from streaming.metrics import lags

    console = Console(stderr=True)
    configure_logs()
    config = model_config(args)
    client = connect(redis_url(args))
    brokers = required(args.kafka, "ODL_KAFKA", "Kafka brokers", "--kafka 127.0.0.1:9092")
    check_server(client, require_fsync_always=bool(config.log.require_fsync_always))
    options = options_of(os.environ)
    check_broker(brokers, options=options)
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    head = log.create()
    kafka = config.kafka
    consumer = FeedbackConsumer(
        brokers,
        config.kafka.topic,
        config.kafka.group,
        log,
        ModelSpec.from_dict(config.model),
        DeadLetters(brokers, config.kafka.dead_letter_topic, options=options),
        join=Join(log, predictions_of(config, client), config.feedback.corrections),
        values=open_values(kafka.values, kafka.schema_registry, kafka.schema, os.environ),
        options=options,
    )
    admin = admin_client(brokers, options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: consumer.stop())
    console.print(
        f"consuming {config.kafka.topic} from {brokers} into '{config.name}' at version {head.version}",
        highlight=False,
    )
    with _metrics(args, console, consumer, lambda: lags(admin, config.kafka.topic, log)):
        consumer.run()
    console.print(f"stopped: {told(consumer.stats())}", highlight=False, soft_wrap=True)
    return 0


def told(stats: "ConsumerStats") -> str:
    """What a consumer did, for people: accepted events, and what else happened."""
    counts = {name: count for name, count in asdict(stats).items() if count or name == "accepted"}
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


@contextmanager
def _metrics(
    args: argparse.Namespace,
    console: Console,
    consumer: "FeedbackConsumer",
    read_lags: Callable[[], Mapping[int, int]],
) -> Iterator[None]:
    """Prometheus is answered meanwhile, if that was asked for."""
    port = _port(args.metrics_port)
    if port is None:
        yield
        return
    from streaming.metrics import ConsumerMetrics

    metrics = ConsumerMetrics(consumer.stats, read_lags)
    bound = metrics.start(port, args.metrics_host)
    console.print(f"metrics at http://{args.metrics_host}:{bound}/metrics", highlight=False)
    try:
        yield
    finally:
        metrics.stop()


def _port(option: int | None) -> int | None:
    text = os.environ.get("ODL_METRICS_PORT", "")
    if option is not None or not text:
        return option
    if not text.isdecimal():
        raise Misconfigured(f"expected a port in ODL_METRICS_PORT, received '{text}'")
    return int(text)
