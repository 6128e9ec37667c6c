"""`odl consume`: Kafka feedback into the log, one event at a time, exactly once."""

import argparse
import os
import signal

from rich.console import Console

from hedge_model.spec import ModelSpec
from odl.cli.options import add_connection_options, model_config, redis_url, required
from odl.redis_connection import check_server, connect
from odl.redis_log import RedisLog
from odl.redis_remembered import predictions_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl consume`."""
    add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Consume until SIGTERM or Ctrl-C."""
    from streaming.connection import check_broker, options_of
    from streaming.consumer import FeedbackConsumer
    from streaming.dead_letters import DeadLetters
    from streaming.join import Join

    console = Console(stderr=True)
    config = model_config(args)
    client = connect(redis_url(args))
    brokers = required(args.kafka, "ODL_KAFKA", "Kafka brokers", "--kafka 127.0.0.1:9092")
    check_server(client, require_fsync_always=bool(config.log.require_fsync_always))
    options = options_of(os.environ)
    check_broker(brokers, options=options)
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    head = log.create()
    consumer = FeedbackConsumer(
        brokers,
        config.kafka.topic,
        config.kafka.group,
        log,
        ModelSpec.from_dict(config.model),
        DeadLetters(brokers, config.kafka.dead_letter_topic, options=options),
        join=Join(log, predictions_of(config, client), config.feedback.corrections),
        options=options,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: consumer.stop())
    console.print(
        f"consuming {config.kafka.topic} from {brokers} into '{config.name}' at version {head.version}",
        highlight=False,
    )
    consumer.run()
    console.print(f"stopped: {consumer.stats()}", highlight=False)
    return 0
