"""The archive: entries as Parquet files, one history with the log, whatever happens to either."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hash_learner import HashLearner

from odl.archive import Archive, Archived, archive, archived_version
from odl.archive_file import from_parquet, to_parquet
from odl.archived_log import ArchivedLog
from odl.errors import HistoryLost, Misconfigured, Unavailable
from odl.event import Event, encode
from odl.folder import Folder
from odl.log import Append, Log
from odl.memory import MemoryLog
from odl.replay import replay


def fill(log: Log, first: int, last: int, word: str = "") -> None:
    for number in range(first, last + 1):
        event = Event(id=f"{word}e-{number}", x={"n": number}, y="yes", source="rest:a", time_ms=7)
        log.append(Append(encode(event), event.id, "rest:a"))


def trim(log: MemoryLog, first: int) -> None:
    """What trimming does, without the snapshots that it asks for."""
    with log._mutex:
        for version in [each for each in log._state.entries if each < first]:
            del log._state.entries[version]


def folded(log: Log) -> tuple[str, str]:
    done = replay(log, HashLearner)
    return done.chain, done.digest


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create()
    return log


@pytest.fixture
def store(tmp_path: Path) -> Archive:
    return Archive(Folder(str(tmp_path / "archive")))


def test_archive_and_log_are_one_history_after_trimming(log: MemoryLog, store: Archive) -> None:
    fill(log, 1, 250)
    whole = folded(log)
    assert archive(log, store, rows=100).end == 250
    trim(log, 180)
    with pytest.raises(HistoryLost):
        folded(log)
    assert folded(ArchivedLog(log, store)) == whole
    fill(log, 251, 300)
    chain, digest = folded(ArchivedLog(log, store))
    assert chain == log.head().chain
    assert archive(log, store, rows=100) == Archived(1, 300, 50, archive(log, store).size_bytes)
    trim(log, 300)
    assert folded(ArchivedLog(log, store)) == (chain, digest)


@pytest.mark.parametrize(
    ("version", "count"), [(0, 1), (0, 120), (1, 5), (99, 3), (100, 1), (249, 5), (250, 1)]
)
def test_a_read_answers_what_the_untrimmed_log_would(
    log: MemoryLog, store: Archive, version: int, count: int
) -> None:
    fill(log, 1, 250)
    expected = log.read(version, count)
    archive(log, store, rows=100)
    trim(log, 250)
    assert ArchivedLog(log, store).read(version, count) == expected


def test_short_segments_are_joined_and_their_files_go(log: MemoryLog, store: Archive) -> None:
    for last in range(10, 110, 10):
        fill(log, last - 9, last)
        archive(log, store, rows=40)
    manifest = store.manifest()
    assert manifest is not None
    assert [(each.first, each.last) for each in manifest.segments] == [(1, 40), (41, 80), (81, 100)]
    segments = [name for name in store.folder.names() if name.endswith(".parquet")]
    assert len(segments) <= 4, "of segments that were written anew, those of one manifest stay"


def test_a_second_run_adds_nothing_and_writes_nothing(log: MemoryLog, store: Archive) -> None:
    fill(log, 1, 30)
    archive(log, store)
    names = store.folder.names()
    assert archive(log, store).added == 0
    assert store.folder.names() == names


class Crash(Exception):
    """The process ends."""


class DyingFolder(Folder):
    """Dies after so many writes."""

    writes_left = 10**9

    def write(self, name: str, data: bytes) -> None:
        if self.writes_left == 0:
            raise Crash
        self.writes_left -= 1
        super().write(name, data)


@pytest.mark.parametrize("writes", range(7))
def test_an_archiver_that_died_anywhere_is_gone_on_from(log: MemoryLog, tmp_path: Path, writes: int) -> None:
    fill(log, 1, 95)
    whole = folded(log)
    folder = DyingFolder(str(tmp_path))
    archive(log, Archive(folder), rows=1000)
    fill(log, 96, 195)
    whole = folded(log)
    folder.writes_left = writes
    with contextlib.suppress(Crash):
        archive(log, Archive(folder), rows=50)
    store = Archive(Folder(str(tmp_path)))
    assert archived_version(log, store) >= 95, "what was archived stays archived"
    assert archive(log, store, rows=50).end == 195
    trim(log, 195)
    assert folded(ArchivedLog(log, store)) == whole


def test_an_archiver_that_was_paused_undoes_nothing(log: MemoryLog, store: Archive) -> None:
    fill(log, 1, 40)
    archive(log, store, rows=20)
    earlier = store.manifest()
    assert earlier is not None
    fill(log, 41, 80)
    archive(log, store, rows=20)
    store.save(earlier)  # by somebody who wakes up late
    assert archived_version(log, store) == 80


def test_after_lost_history_the_archive_goes_on_from_what_both_have(
    log: MemoryLog, store: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    other = MemoryLog(new_log_id=lambda: log.head().log_id)
    other.create()
    fill(log, 1, 130)
    archive(log, store, rows=50)
    files = set(store.folder.names())
    fill(other, 1, 117)
    fill(other, 118, 160, "other-")
    trim(other, 60)
    assert archived_version(other, store) == 0, "nothing may be trimmed on the strength of another history"
    with pytest.raises(HistoryLost, match="goes back"):
        ArchivedLog(other, store)
    assert archive(other, store, rows=50).end == 160
    assert "lost what was archived after version 117" in caplog.text
    assert files <= set(store.folder.names()), "what the log lost is still there"
    assert folded(ArchivedLog(other, store))[0] == other.head().chain


def test_an_archive_that_the_log_left_behind_is_refused(log: MemoryLog, store: Archive) -> None:
    fill(log, 1, 20)
    archive(log, store)
    fill(log, 21, 60)
    trim(log, 40)
    with pytest.raises(HistoryLost, match="trimmed before"):
        archive(log, store)


def test_another_log_needs_another_folder(log: MemoryLog, store: Archive) -> None:
    fill(log, 1, 5)
    archive(log, store)
    other = MemoryLog()
    other.create()
    with pytest.raises(Misconfigured, match="another folder"):
        archive(other, store)
    assert archived_version(other, store) == 0


def test_a_file_that_was_changed_is_noticed(log: MemoryLog, tmp_path: Path) -> None:
    fill(log, 1, 20)
    store = Archive(Folder(str(tmp_path)))
    archive(log, store)
    trim(log, 20)
    (segment,) = tmp_path.glob("*.parquet")
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    with pytest.raises(HistoryLost, match="restore the file"):
        folded(ArchivedLog(log, store))


def test_what_reads_back_otherwise_is_not_listed(log: MemoryLog, tmp_path: Path) -> None:
    class Forgetful(Folder):
        def read(self, name: str) -> bytes:
            return b"" if name.endswith(".parquet") else super().read(name)

    fill(log, 1, 20)
    store = Archive(Forgetful(str(tmp_path)))
    with pytest.raises(Unavailable, match="reads back"):
        archive(log, store)
    assert store.manifest() is None


def test_decoded_columns_can_be_queried(log: MemoryLog) -> None:
    import pyarrow.parquet

    fill(log, 1, 3)
    log.append(Append(b"\x00no event", "c-1", "rest:a"))
    entries = log.read(0, 10).entries
    data = to_parquet(entries)
    assert from_parquet(data) == entries
    table: Any = pyarrow.parquet.read_table(io.BytesIO(data))
    assert table.column("id").to_pylist() == ["e-1", "e-2", "e-3", None]
    assert table.column("time_ms").to_pylist() == [7, 7, 7, None]


def test_an_empty_log_and_an_empty_folder_are_no_archive(log: MemoryLog, store: Archive) -> None:
    assert archive(log, store) == Archived(1, 0, 0, 0)
    with pytest.raises(Misconfigured, match="odl archive"):
        ArchivedLog(log, store)


def test_storage_that_cannot_be_named_or_reached_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected a folder or a URL"):
        Folder("nowhere://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        Folder(str(tmp_path / "file" / "below")).write("a", b"")


def test_s3_holds_an_archive_as_a_disk_does(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    moto = pytest.importorskip("moto.server", reason="needs moto[s3], a server that speaks S3")
    pytest.importorskip("s3fs", reason="needs the extra lake")
    import s3fs

    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    try:
        s3fs.S3FileSystem().mkdir("bucket")
        fill(log, 1, 90)
        whole = folded(log)
        store = Archive(Folder("s3://bucket/models/a"))
        archive(log, store, rows=40)
        trim(log, 90)
        assert folded(ArchivedLog(log, Archive(Folder("s3://bucket/models/a")))) == whole
        with pytest.raises(Unavailable, match="nowhere"):
            Archive(Folder("s3://nowhere/a")).folder.write("x", b"")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
