"""`odl serve`: one replica behind the Seldon REST protocol."""

import argparse
import os
import sys
from pathlib import Path

from odl.cli.options import add_connection_options, kafka_brokers, model_config, redis_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl serve`."""
    add_connection_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on (9000; 0: a free one)")
    parser.add_argument(
        "--server",
        choices=("fast", "seldon"),
        default="fast",
        help="our server, or seldon-core-microservice with the same model class",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    config, redis, kafka = model_config(args), redis_url(args), kafka_brokers(args)
    if args.server == "seldon":
        serve_with_seldon_core(args, redis, kafka)
    from seldon.server import serve

    return serve(config, redis_url=redis, kafka=kafka, host=args.host, port=args.port)


def serve_with_seldon_core(args: argparse.Namespace, redis: str, kafka: str | None) -> None:
    """Become `seldon-core-microservice`; it takes its settings from the environment."""
    environment = dict(
        os.environ, ODL_REDIS=redis, ODL_MODEL=str(Path(args.model or os.environ["ODL_MODEL"]).resolve())
    )
    environment.setdefault("GRPC_WORKERS", "0")  # with workers of its own, SIGTERM would hang for ever
    if kafka:
        environment["ODL_KAFKA"] = kafka
    command = str(Path(sys.executable).parent / "seldon-core-microservice")
    arguments = ["seldon.model.OdlModel", "--service-type", "MODEL", "--http-port", str(args.port)]
    os.execve(command, [command, *arguments], environment)
