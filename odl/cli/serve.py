"""`odl serve`: one replica behind the Seldon REST protocol."""

import argparse
import os
import sys
from pathlib import Path

from odl.cli.options import add_connection_options, kafka_brokers, model_config, redis_url
from odl.errors import Misconfigured
from odl.logs import configure_logs

SECURITY = {  # option -> what its file holds
    "tokens": "digests of the bearer tokens that requests must carry",
    "tls_cert": "certificate for HTTPS",
    "tls_key": "its key",
    "tls_client_ca": "authority whose certificates clients must have",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl serve`."""
    add_connection_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on (9000; 0: a free one)")
    parser.add_argument(
        "--grpc-port", type=int, metavar="PORT", help="answer Seldon's gRPC here, too (0: a free one)"
    )
    add_security_options(parser)
    parser.add_argument(
        "--server",
        choices=("fast", "seldon"),
        default="fast",
        help="our server, or seldon-core-microservice with the same model class",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    configure_logs()
    config, redis, kafka = model_config(args), redis_url(args), kafka_brokers(args)
    tokens, *tls_files = (getattr(args, name) or os.environ.get(f"ODL_{name.upper()}") for name in SECURITY)
    if args.server == "seldon":
        if any(tls_files):
            raise Misconfigured(
                "expected no certificate with --server seldon, which serves plain HTTP only: end TLS in "
                "front of it, or use --server fast"
            )
        serve_with_seldon_core(args, redis, kafka, tokens)
    from seldon.access import load_tokens
    from seldon.server import serve
    from seldon.tls import tls_of

    return serve(
        config,
        redis_url=redis,
        kafka=kafka,
        host=args.host,
        port=args.port,
        access=load_tokens(tokens) if tokens else None,
        tls=tls_of(*tls_files),
        grpc_port=args.grpc_port,
    )


def add_security_options(parser: argparse.ArgumentParser) -> None:
    """Files with tokens, keys and certificates; see SECURITY.md."""
    for name, meaning in SECURITY.items():
        option, variable = f"--{name.replace('_', '-')}", f"ODL_{name.upper()}"
        parser.add_argument(option, metavar="FILE", help=f"{meaning}; else {variable}")


def serve_with_seldon_core(
    args: argparse.Namespace, redis: str, kafka: str | None, tokens: str | None
) -> None:
    """Become `seldon-core-microservice`; it takes its settings from the environment."""
    if args.grpc_port is not None:
        raise Misconfigured(
            "expected --grpc-port with our server alone: under --server seldon set GRPC_WORKERS=1 and "
            "PREDICTIVE_UNIT_GRPC_SERVICE_PORT, and know that it does not end by SIGTERM then"
        )
    environment = dict(
        os.environ, ODL_REDIS=redis, ODL_MODEL=str(Path(args.model or os.environ["ODL_MODEL"]).resolve())
    )
    environment.setdefault("GRPC_WORKERS", "0")  # with workers of its own, SIGTERM would hang for ever
    if kafka:
        environment["ODL_KAFKA"] = kafka
    if tokens:
        environment["ODL_TOKENS"] = str(Path(tokens).resolve())
    command = str(Path(sys.executable).parent / "seldon-core-microservice")
    arguments = ["seldon.model.OdlModel", "--service-type", "MODEL", "--http-port", str(args.port)]
    os.execve(command, [command, *arguments], environment)
