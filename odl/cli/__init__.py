"""The `odl` command: each subcommand is a module here with `HELP`, `add_arguments(parser)`, `run(args)`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from odl.errors import OdlError

COMMANDS = ("demo", "up", "down", "serve", "consume", "status", "replay")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 failed, 2 wrong use or set-up, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="odl", description="Online deep learning as a service.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"odl.cli.{name}")
        subparser = subparsers.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except OdlError as error:
        sys.stderr.write(f"odl {args.command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
