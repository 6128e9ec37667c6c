"""Backfill: rows of files and topics enter exactly once, whatever interrupts it."""

import csv
import datetime
import decimal
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from odl.errors import Misconfigured, Unavailable
from odl.event import decode
from odl.memory import MemoryLog
from odl.remembered import MemoryPredictions, Remembered
from streaming.backfill import Backfill, Refused, Row
from streaming.file_rows import FileRows, parquet_rows
from streaming.formats import JsonValues
from streaming.join import Join
from streaming.row_events import Columns
from streaming.topic_rows import TopicRows, parse_topic

ROWS = 1_300
COLUMNS = Columns(label="y", time="at")


class Open:
    """A schema that accepts everything but the label 'unknown'."""

    def check_features(self, x: dict[str, object]) -> None:
        pass

    def check_label(self, y: object) -> None:
        if y == "unknown":
            raise ValueError("expected one of the labels a, b; received 'unknown'")


class Crash(Exception):
    """The process ends."""


class FaultyLog:
    """Fails before or after an append, or dies, by chance."""

    def __init__(self, log: MemoryLog, chance: random.Random) -> None:
        self.log = log
        self.chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    def append_many(self, items: list[Any]) -> list[Any]:
        fault = self.chance.random()
        if fault < 0.2:
            self.log.append_many(items[: self.chance.randint(0, len(items))])
            raise Unavailable("the connection broke")
        answers = self.log.append_many(items)
        if fault < 0.3:
            raise Unavailable("the reply was lost")
        if fault < 0.4:
            raise Crash
        return answers


def write(path: Path, rows: int, bad: Mapping[int, str] | None = None) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["n", "city", "at", "y"])
        for number in range(1, rows + 1):
            writer.writerow([number, f"c{number % 7}", 1_700_000_000 + number, (bad or {}).get(number, "a")])
    return path


def rows_of(path: Path, columns: Columns = COLUMNS) -> FileRows:
    def read() -> Iterator[dict[str, Any]]:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {name: value or None for name, value in row.items()}

    return FileRows(path, columns, read, sum(1 for _ in read()), number_labels=False)


def backfill(log: Any, **settings: Any) -> Backfill:
    settings.setdefault("sleep", lambda seconds: None)
    join = settings.pop("join", None) or Join(log, None)
    return Backfill(log, Open(), join, **settings)


def numbers(log: MemoryLog) -> list[int]:
    return [int(decode(entry.payload).x["n"]) for entry in log.read(0, 10_000).entries]  # type: ignore[arg-type]


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create()
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "history of 2025.csv", ROWS)


def test_every_row_enters_once_in_order_with_its_position(log: MemoryLog, path: Path) -> None:
    rows = rows_of(path)
    filled = backfill(log).run(rows)
    assert (filled.entered, filled.rows) == (ROWS, ROWS)
    assert numbers(log) == list(range(1, ROWS + 1))
    assert log.positions() == {rows.source: str(ROWS)}
    assert rows.source.startswith("backfill:history-of-2025.csv:")
    event = decode(log.read(4, 1).entries[1].payload)
    assert (event.source, event.seq, event.time_ms) == (rows.source, "5", 1_700_000_005_000)
    assert event.x == {"n": "5", "city": "c5"}


def test_a_second_run_of_the_same_file_finds_nothing_to_do(log: MemoryLog, path: Path) -> None:
    backfill(log).run(rows_of(path))
    renamed = path.rename(path.with_name("another name.csv"))
    assert backfill(log).run(rows_of(renamed)).rows == 0
    assert log.head().version == ROWS


@pytest.mark.parametrize("seed", range(8))
def test_faults_and_crashes_lose_and_double_nothing(log: MemoryLog, path: Path, seed: int) -> None:
    faulty = FaultyLog(log, random.Random(seed))
    for _ in range(200):
        try:
            backfill(faulty).run(rows_of(path))
            break
        except Crash:
            continue
    assert numbers(log) == list(range(1, ROWS + 1))


def test_two_at_once_share_the_work(log: MemoryLog, path: Path) -> None:
    class Twin:
        """Somebody else takes rows of the same file in between."""

        appends = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def append_many(self, items: list[Any]) -> list[Any]:
            self.appends += 1
            if self.appends == 2:
                backfill(log).run(rows_of(path))
            return log.append_many(items)

    backfill(Twin()).run(rows_of(path))
    assert numbers(log) == list(range(1, ROWS + 1))


def test_while_the_log_is_full_it_waits_and_says_why(log: MemoryLog, path: Path) -> None:
    reasons: list[str] = []
    log.limit(700, "replica a cannot keep up")

    def sleep(seconds: float) -> None:
        if reasons.count("") < len(reasons) and len(reasons) > 3:
            log.limit(10_000, "")

    filled = backfill(log, on_wait=reasons.append, sleep=sleep).run(rows_of(path))
    assert filled.entered == ROWS
    assert numbers(log) == list(range(1, ROWS + 1))
    assert any("replica a cannot keep up" in reason for reason in reasons)


def test_bad_rows_are_named_before_anything_enters(log: MemoryLog, tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "a.csv", 900, bad={700: "unknown", 3: "unknown"}))
    with pytest.raises(Refused, match="row 3: expected one of the labels.*row 700.*nothing entered"):
        backfill(log).check(rows)
    with pytest.raises(Refused, match="row 3: .*--skip-bad"):
        backfill(log).run(rows)
    assert log.head().version == 2
    filled = backfill(log, skip_bad=True).run(rows)
    assert (filled.entered, filled.refusals, len(filled.refused)) == (896, 2, 2)
    assert backfill(log).run(rows).rows == 0


def test_rows_without_a_label_teach_nothing(log: MemoryLog, tmp_path: Path) -> None:
    filled = backfill(log).run(rows_of(write(tmp_path / "a.csv", 20, bad={5: "", 6: ""})))
    assert (filled.entered, filled.empty) == (18, 2)


def test_an_id_column_is_the_id_and_known_ids_are_duplicates(log: MemoryLog, tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", 20), write(tmp_path / "b.csv", 30)
    columns = Columns(label="y", id="n")
    backfill(log).run(rows_of(one, columns))
    filled = backfill(log).run(rows_of(two, columns))
    assert (filled.entered, filled.duplicates) == (10, 20)
    assert backfill(log).run(rows_of(two, Columns(label="y"))).entered == 30, "other columns, another meaning"


def test_a_file_of_labels_alone_is_joined_with_what_was_predicted(log: MemoryLog, tmp_path: Path) -> None:
    predictions = MemoryPredictions(ttl_s=1000.0, records_max=100)
    for name in ("p-1", "p-2"):
        predictions.put(name, Remembered({"n": 1}, {"a": 0.9, "b": 0.1}, version=0))
    path = tmp_path / "labels.csv"
    path.write_text("id,y\np-1,a\np-2,b\np-3,a\n")
    rows = rows_of(path, Columns(label="y", id="id"))
    join = Join(log, predictions)
    backfill(log, join=join).check(rows)
    filled = backfill(log, join=join, skip_bad=True).run(rows)
    assert (filled.entered, filled.refusals) == (2, 1)
    assert "row 3: no prediction 'p-3'" in filled.refused[0]
    assert decode(log.read(0, 1).entries[0].payload).prediction == {"a": 0.9, "b": 0.1}


def test_parquet_is_read_with_its_types(log: MemoryLog, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra lake")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {
            "f": [1.5, float("nan"), None],
            "flag": [True, False, None],
            "price": [decimal.Decimal("1.25")] * 3,
            "at": [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)] * 3,
            "y": ["a", "b", "a"],
        }
    )
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    names, total, read = parquet_rows(path)
    assert (names, total) == (["f", "flag", "price", "at", "y"], 3)
    filled = backfill(log).run(FileRows(path, COLUMNS, read, total, number_labels=False))
    assert filled.entered == 3
    events = [decode(entry.payload) for entry in log.read(0, 10).entries]
    assert [event.x for event in events] == [
        {"f": 1.5, "flag": True, "price": 1.25},
        {"f": None, "flag": False, "price": 1.25},
        {"f": None, "flag": None, "price": 1.25},
    ]
    assert events[0].time_ms == 1767312000000
    (tmp_path / "b.parquet").write_bytes(b"junk")
    with pytest.raises(Misconfigured, match="cannot be read as Parquet"):
        parquet_rows(tmp_path / "b.parquet")


def test_lists_and_wrong_times_are_bad_rows() -> None:
    def refusal(row: dict[str, Any]) -> str:
        return str(COLUMNS.content(row, default_id="h/1", number_labels=False))

    assert "found list" in refusal({"y": "a", "f": [1]})
    assert "expected a time in 'at'" in refusal({"y": "a", "at": "yesterday"})
    assert "expected the label in 'y', found f" in refusal({"f": 1})


# Topics


def topic_rows(stream: Any, first: int = -1, columns: Columns | None = None) -> TopicRows:
    return TopicRows(stream.broker.bootstrap, stream.topic, first, JsonValues(), columns, number_labels=False)


def test_a_topic_is_read_from_an_offset_to_its_end_once(
    new_stream: Callable[..., Any], log: MemoryLog
) -> None:
    stream = new_stream(2)
    stream.produce(0, 100)
    rows = topic_rows(stream, first=10)
    assert rows.total == 80
    filled = backfill(log).run(rows)
    assert filled.entered == 80
    assert backfill(log).run(topic_rows(stream, first=10)).rows == 0
    stream.produce(100, 110)
    assert backfill(log).run(topic_rows(stream)).entered == 10
    ids = [decode(entry.payload).id for entry in log.read(0, 1000).entries]
    assert sorted(ids) == sorted(f"e-{number}" for number in range(20, 110))


def test_what_the_consumer_has_taken_a_backfill_takes_not_again(stream: Any) -> None:
    ids = stream.produce(0, 50)
    running = stream.start()
    stream.wait_for_version(50)
    running.stop()
    assert backfill(stream.log).run(topic_rows(stream)).rows == 0
    ids += stream.produce(50, 80)
    assert backfill(stream.log).run(topic_rows(stream)).entered == 30
    stream.start()
    ids += stream.produce(80, 90)
    stream.wait_for_version(90)
    assert stream.log.ids() == ids


def test_poison_in_a_topic_stops_a_backfill_unless_passed_over(stream: Any) -> None:
    stream.produce(0, 10)
    stream.produce_raw(b"junk")
    stream.produce_raw(None, key=b"tombstone")
    stream.produce(10, 20)
    with pytest.raises(Refused, match="partition 0, offset 10: expected a JSON object"):
        backfill(stream.log).run(topic_rows(stream))
    assert stream.log.head().version == 10
    filled = backfill(stream.log, skip_bad=True).run(topic_rows(stream))
    assert (filled.entered, filled.refusals, filled.empty) == (10, 1, 1)


def test_flat_objects_of_a_topic_are_rows(stream: Any) -> None:
    stream.produce_raw(b'{"usage": 3, "churned": "a"}')
    stream.flush()
    assert backfill(stream.log).run(topic_rows(stream, columns=Columns(label="churned"))).entered == 1
    (event,) = stream.log.events()
    assert (event.x, event.y) == ({"usage": 3}, "a")


def test_offsets_that_are_gone_and_topics_that_cannot_be_meant_are_refused(stream: Any) -> None:
    stream.produce(0, 30)
    stream.broker.delete_records(stream.topic, 0, 20)
    with pytest.raises(Misconfigured, match=f"kafka:{stream.topic}@20 or later"):
        topic_rows(stream, first=5)
    assert backfill(stream.log).run(topic_rows(stream)).entered == 10
    for text in ("kafka:", "kafka:a@", "kafka:a@b", "kafka:a@-1"):
        with pytest.raises(Misconfigured, match="expected kafka:topic"):
            parse_topic(text)


def test_a_position_that_somebody_else_moved_is_gone_on_from() -> None:
    log = MemoryLog()
    log.create()

    class Twice:
        """A source whose row 1 is offered again after it was stored."""

        def after(self, positions: Mapping[str, str]) -> Iterator[Row]:
            stored = int(positions.get("backfill:x:1", "0"))
            for number in range(stored + 1, 4):
                yield Row("backfill:x:1", str(number), None, f"row {number}")

    assert backfill(log).run(Twice()).empty == 3
