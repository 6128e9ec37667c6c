"""The `odl` command: each subcommand is a module here with `add_arguments(parser)` and `run(args)`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from odl.errors import OdlError

COMMANDS = {
    "demo": "the main job on a real stream: flights, Redis, Kafka, replicas; a report and a picture",
    "up": "run an embedded Redis and an embedded Kafka for local use",
    "down": "stop what `odl up --background` started",
    "serve": "run a replica with the Seldon REST protocol",
    "consume": "feed the log from Kafka",
    "feedback": "learn labels that became known later: a CSV of prediction ids and truths",
    "status": "show the log's head, the replicas, snapshots and the lock",
    "watch": "see the model learn, live in the terminal",
    "adopt": "hand the log over to another model file or release; replicas of the old one refuse then",
    "replay": "fold the log offline: version, chain, digest, scores; or as it might have been",
    "snapshot": "save the newest version now, or list what is saved",
    "rollback": "bring an earlier version back, on every replica",
    "promote": "replace the learner by another fold of the same log, on every replica",
    "export": "write a version's weights and a manifest for scoring with NumPy alone",
    "backfill": "feed the log from a file or a topic's history, resumable, exactly once",
    "dead-letters": "list the feedback that could not be learned; learn it after a fix",
    "archive": "write the log to Parquet files, on a disk or in S3; they stay when the log is trimmed",
    "log": "show one entry: what was learned, from where, and what was predicted before it",
    "rights": "print what an administrator gives the service's Redis user: functions and ACL rules",
    "drift": "list drifts and what they set off; --watch runs their detectors",
    "challenge": "fold another spec over the same log and score it beside the model that serves",
    "fit": "fold a CSV file offline and print prequential scores",
    "predict": "predict the rows of a CSV file with a learner kept by `odl fit --save`",
    "gate": "whether an exported candidate may serve, and if not, why",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 failed, 2 wrong use or set-up, 130 interrupted."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="odl", description="Online deep learning as a service.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=purpose, description=f"odl {name}: {purpose}.")
        if arguments[:1] == [name]:  # only what is used is imported: some commands need a second for that
            module = importlib.import_module(f"odl.cli.{name.replace('-', '_')}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except OdlError as error:
        sys.stderr.write(f"odl {args.command}: {error}\n")
        return 2
