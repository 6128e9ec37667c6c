"""`odl feedback labels.csv`: labels that became known later, each with the id of its prediction.

Safe to repeat: what was learned before is a duplicate. Rows that cannot be learned are printed with a reason
and change nothing.
"""

import argparse
import csv
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hedge_model.spec import ModelSpec
from odl.cli.opened import print_facts
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.errors import InvalidEvent, Misconfigured
from odl.event import Event, encode
from odl.feedback import expired, prepare
from odl.learner import Schema
from odl.log import Append, Log, Outcome
from odl.redis_connection import check_server, connect
from odl.redis_log import RedisLog
from odl.redis_remembered import predictions_of
from streaming.join import Join, Joined, LateLabel

BATCH_MAX = 500  # rows that are joined and appended together
SOURCE = "rest:csv"  # its id is what tells an event from another, as with all feedback that has no position
REFUSALS_SHOWN_MAX = 100  # of a file whose rows are all wrong, the first ones tell why


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl feedback`."""
    parser.add_argument("file", type=Path, metavar="labels.csv", help="one row a label, with a header")
    parser.add_argument("--id", default="id", metavar="COLUMN", help="the prediction's id, its puid (id)")
    parser.add_argument("--truth", default="truth", metavar="COLUMN", help="the label (truth)")
    parser.add_argument("--corrects", action="store_true", help="the labels replace ones that were learned")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_connection_options(parser, kafka=False)


def run(args: argparse.Namespace) -> int:
    """Enter every row; 0 if each is in the log now, else 1."""
    config = model_config(args)
    spec = ModelSpec.from_dict(config.model)
    client = connect(redis_url(args))
    check_server(client, require_fsync_always=bool(config.log.require_fsync_always))
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    join = Join(log, predictions_of(config, client), config.feedback.corrections)
    labels = _labels(args.file, args.id, args.truth, args.corrects, is_number=spec.task == "regression")
    counts: Counter[str] = Counter()
    shown: list[dict[str, str]] = []
    while batch := list(itertools.islice(labels, BATCH_MAX)):
        for label, became in zip(batch, _enter(batch, join, log, spec), strict=True):
            if isinstance(became, InvalidEvent):
                counts[became.reason.lower()] += 1
                shown.append({"id": label.id, "reason": became.reason, "detail": str(became)})
                del shown[REFUSALS_SHOWN_MAX:]
            else:
                counts[str(became)] += 1
    _print(dict(counts), shown, log.head().version, args.json)
    return 0 if set(counts) <= {Outcome.ACCEPTED, Outcome.DUPLICATE} else 1


def _enter(labels: list[LateLabel], join: Join, log: Log, schema: Schema) -> list[Outcome | InvalidEvent]:
    """What became of each label."""
    became: list[Outcome | InvalidEvent] = []
    items: list[Append] = []
    places: list[int] = []
    for place, found in enumerate(join.resolve(labels)):
        checked = _checked(found, schema)
        became.append(Outcome.DUPLICATE if isinstance(checked, Event) else checked)
        if isinstance(checked, Event):
            items.append(Append(encode(checked), checked.id, SOURCE, after=max(0, checked.version)))
            places.append(place)
    for place, item, answer in zip(places, items, log.append_many(items), strict=True):
        is_expired = answer.outcome is Outcome.EXPIRED
        became[place] = expired(item.event_id, item.after) if is_expired else answer.outcome
    return became


def _checked(found: Joined, schema: Schema) -> Event | Outcome | InvalidEvent:
    if isinstance(found, InvalidEvent):
        return found
    if not isinstance(found, Event):
        return Outcome.DUPLICATE
    try:
        return prepare(msgspec.structs.replace(found, source=SOURCE), schema)
    except InvalidEvent as error:
        return error


def _labels(
    path: Path, id_column: str, truth_column: str, corrects: bool, *, is_number: bool
) -> Iterator[LateLabel]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for name in (id_column, truth_column):
                if name not in (rows.fieldnames or ()):
                    found = ", ".join(rows.fieldnames or ()) or "none"
                    raise Misconfigured(f"{path}: expected a column '{name}', found {found}")
            for row in rows:
                yield LateLabel(row[id_column] or "", _truth(row[truth_column], is_number), corrects)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def _truth(text: str | None, is_number: bool) -> str | float | None:
    """A number where numbers are learned, if it is one; the schema says what is wrong with the rest."""
    if not text:
        return None
    try:
        return float(text) if is_number else text
    except ValueError:
        return text


def _print(counts: dict[str, int], shown: list[dict[str, str]], version: int, as_json: bool) -> None:
    if as_json:
        print_facts({**counts, "version": version, "refused": shown}, as_json=True)
        return
    print_facts({**counts, "version": version}, as_json=False)
    for refusal in shown:
        sys.stderr.write(f"{refusal['id']}: {refusal['reason']}: {refusal['detail']}\n")
