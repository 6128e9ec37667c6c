"""`odl predict model.odl data.csv`: predictions of a learner that `odl fit --save` kept, as CSV."""

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hedge_model import HedgeLearner
from odl.cli.table import open_table
from odl.errors import InvalidEvent, Misconfigured
from odl.event import Features


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
    examples = _examples(learner, args.data, args.label)
    try:
        writer = csv.writer(sys.stdout)
        writer.writerow(learner.classes or ("prediction",))
        for x in examples:
            predicted = learner.predict_one(x)
            writer.writerow(predicted.values() if isinstance(predicted, dict) else (predicted,))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # of what is left in the buffer
        return 1
    return 0


def _examples(learner: HedgeLearner, data: Path, label: str | None) -> Iterator[Features]:
    """The rows of a file, each column a number or a category as it is to the learner. Raises `Misconfigured`
    for a file that has nothing the learner knows; says on stderr what it lacks."""
    known = learner.fields
    table = open_table(data)
    if lacking := [name for name in known if name not in table.names]:
        if len(lacking) == len(known):
            raise Misconfigured(f"{data} has none of the columns that the model knows: {', '.join(known)}")
        sys.stderr.write(f"odl predict: {data} has no {', '.join(lacking)}, taken as missing\n")
    return _checked(learner, table.examples([n for n in known if known[n] == "category"]), data, label)


def _checked(
    learner: HedgeLearner, examples: Iterator[Features], data: Path, label: str | None
) -> Iterator[Features]:
    known = learner.fields
    for row, x in enumerate(examples, start=1):
        if label is not None:
            x.pop(label, None)
        try:
            learner.schema.check_features(x)
        except ValueError as error:
            raise InvalidEvent(f"{data} row {row}: {error}") from error
        for name, value in x.items():
            if isinstance(value, str) and known.get(name) == "number":
                raise InvalidEvent(f"{data} row {row}: expected a number in '{name}', received {value!r:.80}")
        yield x
