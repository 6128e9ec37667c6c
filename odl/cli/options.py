"""The options that commands share: model file, Redis and Kafka, from the command line or the environment."""

import argparse
import os

from odl.config import Config, load_config
from odl.errors import Misconfigured
from odl.redis_connection import complete_url, has_password


def add_connection_options(parser: argparse.ArgumentParser, *, kafka: bool = True) -> None:
    """`--model`, `--redis` and, where it is used, `--kafka`."""
    parser.add_argument("--model", metavar="FILE.toml", help="the model file; else ODL_MODEL")
    parser.add_argument("--redis", metavar="URL", help="e.g. redis://127.0.0.1:6379/0; else ODL_REDIS")
    if kafka:
        parser.add_argument("--kafka", metavar="BROKERS", help="e.g. 127.0.0.1:9092; else ODL_KAFKA")


def model_config(args: argparse.Namespace) -> Config:
    """The model file that was named, read and checked."""
    return load_config(required(args.model, "ODL_MODEL", "a model file", "--model model.toml"))


def redis_url(args: argparse.Namespace) -> str:
    """Where Redis is, with the user and the password to be used there."""
    if args.redis and has_password(args.redis):
        raise Misconfigured(
            "expected no password in --redis, since everybody on this machine can read command lines: set "
            "ODL_REDIS to the whole URL, or ODL_REDIS_USER and ODL_REDIS_PASSWORD_FILE beside it"
        )
    url = required(args.redis, "ODL_REDIS", "a Redis URL", "--redis redis://127.0.0.1:6379/0")
    return complete_url(url, os.environ)


def kafka_brokers(args: argparse.Namespace) -> str | None:
    """Where Kafka is, None to run without."""
    return args.kafka or os.environ.get("ODL_KAFKA") or None


def required(value: str | None, variable: str, what: str, example: str) -> str:
    """The option, else its environment variable, else `Misconfigured`."""
    chosen = value or os.environ.get(variable)
    if not chosen:
        raise Misconfigured(f"expected {what}: pass `{example}` or set {variable}")
    return chosen
