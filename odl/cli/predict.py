"""`odl predict model.odl data.csv`: predictions of a learner that `odl fit --save` kept, as CSV."""

import argparse
import csv
import sys
from pathlib import Path

from hedge_model import HedgeLearner
from odl.cli.table import open_table
from odl.errors import InvalidEvent, Misconfigured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl predict`."""
    parser.add_argument("model", type=Path, help="what `odl fit --save` wrote")
    parser.add_argument("data", type=Path, help="a CSV file with a header")
    parser.add_argument("--label", metavar="COLUMN", help="a column to leave out, if the file has the labels")


def run(args: argparse.Namespace) -> int:
    """One line a row: the probability of each class, or the number."""
    try:
        learner = HedgeLearner.from_bytes(args.model.read_bytes())
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{args.model} is not a learner that `odl fit --save` wrote: {error}") from error
    writer = csv.writer(sys.stdout)
    writer.writerow(learner.classes or ("prediction",))
    for row, x in enumerate(open_table(args.data).examples(), start=1):
        x.pop(args.label, None)
        try:
            learner.schema.check_features(x)
        except ValueError as error:
            raise InvalidEvent(f"{args.data} row {row}: {error}") from error
        predicted = learner.predict_one(x)
        writer.writerow(predicted.values() if isinstance(predicted, dict) else (predicted,))
    return 0
