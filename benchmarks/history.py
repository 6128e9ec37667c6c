"""What do a log's history and its future cost: archive, replay, backfill?

Questions: how large is an archive, beside the log in Redis; what does a replay cost that reads archive and
log as one, beside one of the log alone and beside the compiled loop over the same arrays; what does a
backfill cost beside appending the same events, pipelined, with nothing read or checked.

A real Valkey (append-only file, fsync every second), events of 28 numbers, the default learner. Taken in
turns within one run; medians of `--turns`. `python benchmarks/history.py [--json FILE] [--events N]`
"""

import csv
import statistics
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from figures import seconds, show

from hedge_model import HedgeLearner, ModelSpec
from odl.archive import Archive, archive
from odl.archived_log import ArchivedLog
from odl.embedded_redis import EmbeddedRedis
from odl.event import Event, encode
from odl.folder import Folder
from odl.log import Append
from odl.redis_connection import connect
from odl.redis_log import RedisLog
from odl.replay import replay
from streaming.backfill import Backfill
from streaming.file_rows import FileRows
from streaming.join import Join
from streaming.row_events import Columns

FEATURES = 28
PAGE = 1_000
MILLION = 1_000_000


def measure(events: int, turns: int) -> dict[str, float]:
    """All figures."""
    chance = np.random.default_rng(1)
    x = chance.normal(size=(events, FEATURES)).astype(np.float32).round(4)
    y = np.where(x[:, 0] + x[:, 1] > 0, "late", "on time")
    spec = ModelSpec(task="binary", classes=["late", "on time"])
    rows = [{f"f{i}": float(f"{v:.4f}") for i, v in enumerate(row)} for row in x]
    items = [
        Append(encode(Event(id=f"e-{n}", x=row, y=str(label), source="rest:a")), f"e-{n}", "rest:a")
        for n, (row, label) in enumerate(zip(rows, y, strict=True))
    ]
    HedgeLearner(spec).learn_many(x[:100], list(y[:100]))  # compiles
    times: dict[str, list[float]] = {}

    def take(name: str, call: Callable[[], Any]) -> None:
        times.setdefault(name, []).append(seconds(call))

    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        client = connect(server.url)
        path = write_csv(Path(folder) / "rows.csv", rows, y)
        for turn in range(turns):
            log, filled = RedisLog(client, f"log-{turn}"), RedisLog(client, f"filled-{turn}")
            log.create(), filled.create()
            take(
                "append", lambda log=log: [log.append_many(items[i : i + 500]) for i in range(0, events, 500)]
            )
            take("backfill", lambda filled=filled: backfill(filled, spec, path, events))
            store = Archive(Folder(f"{folder}/archive-{turn}"))
            take("archive", lambda log=log, store=store: archive(log, store))
            take("replay", lambda log=log: replay(log, lambda: HedgeLearner(spec)))
            stored = int(client.memory_usage(f"{{odl:log-{turn}}}:log", samples=0))
            client.xtrim(f"{{odl:log-{turn}}}:log", minid=f"{events}-0", approximate=False)
            both = ArchivedLog(log, store)
            take("replay archive", lambda both=both: replay(both, lambda: HedgeLearner(spec)))
            take("kernel", lambda: HedgeLearner(spec).learn_many(x, list(y)))
            manifest = store.manifest()
            assert manifest is not None
            size = sum(segment.size_bytes for segment in manifest.segments)
            client.flushall()
        client.close()
    middle = {name: statistics.median(found) for name, found in times.items()}
    return {
        "archive: MB per million events": size / events * MILLION / 1e6,
        "archive: bytes, over the log's in Redis": size / stored,
        "archive: time, over appending pipelined": middle["archive"] / middle["append"],
        "replay of the log: time, over the bare kernel": middle["replay"] / middle["kernel"],
        "replay of the archive: time, over the log's": middle["replay archive"] / middle["replay"],
        "backfill of a CSV: time, over appending pipelined": middle["backfill"] / middle["append"],
        "backfill of a CSV: rows/s": events / middle["backfill"],
    }


def write_csv(path: Path, rows: list[dict[str, float]], labels: Any) -> Path:
    """The same events as a file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "y"])
        writer.writerows([*row.values(), label] for row, label in zip(rows, labels, strict=True))
    return path


def backfill(log: RedisLog, spec: ModelSpec, path: Path, events: int) -> None:
    """Take all rows of the file."""

    def read() -> Iterator[dict[str, Any]]:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                label = row.pop("y")
                yield {**{name: float(text) for name, text in row.items()}, "y": label}

    rows = FileRows(path, Columns(label="y"), read, events, number_labels=False)
    assert Backfill(log, spec, Join(log, None)).run(rows).entered == events


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    parser = ArgumentParser(description="What do a log's history and its future cost?")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--events", type=int, default=50_000, help="in the log (50,000)")
    parser.add_argument("--turns", type=int, default=3, help="of which medians are taken (3)")
    arguments = parser.parse_args()
    title = f"History, {arguments.events:,} events"
    show(title, [measure(arguments.events, arguments.turns)], arguments.json)


if __name__ == "__main__":
    main()
