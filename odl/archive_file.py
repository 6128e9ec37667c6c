"""Entries of the log as the bytes of a Parquet file, and back.

Payloads are kept byte for byte, since the chain is over them; the decoded columns are for queries.
"""

import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from odl.errors import HistoryLost, InvalidEvent, Misconfigured
from odl.event import Event, decode
from odl.log import Entry


def to_parquet(entries: Sequence[Entry]) -> bytes:
    """The file of these entries. Raises `Misconfigured` without the extra `lake`."""
    pyarrow, parquet = arrow()
    events = [_event_of(entry.payload) for entry in entries]

    def column(name: str, kind: Any) -> Any:
        return pyarrow.array([None if event is None else getattr(event, name) for event in events], kind)

    labels = [None if event is None else str(event.y) for event in events]
    table = pyarrow.table(
        {
            "version": pyarrow.array([entry.version for entry in entries], pyarrow.int64()),
            "chain": pyarrow.array([bytes.fromhex(entry.chain) for entry in entries], pyarrow.binary(20)),
            "payload": pyarrow.array([entry.payload for entry in entries], pyarrow.binary()),
            "id": column("id", pyarrow.string()),
            "source": column("source", pyarrow.string()),
            "seq": column("seq", pyarrow.string()),
            "label": pyarrow.array(labels, pyarrow.string()),
            "weight": column("weight", pyarrow.float64()),
            "time_ms": column("time_ms", pyarrow.int64()),
            "served_version": column("version", pyarrow.int64()),
        }
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> list[Entry]:
    """The entries of a file. Raises `HistoryLost` for bytes that are none."""
    pyarrow, parquet = arrow()
    try:
        table = parquet.read_table(io.BytesIO(data), columns=["version", "chain", "payload"])
    except (pyarrow.ArrowException, OSError) as error:
        raise HistoryLost(f"{len(data)} bytes that are no segment of an archive: {error}") from error
    columns = (table.column(name).to_pylist() for name in ("version", "chain", "payload"))
    return [Entry(version, chain.hex(), payload) for version, chain, payload in zip(*columns, strict=True)]


def _event_of(payload: bytes) -> Event | None:
    try:
        return decode(payload)
    except InvalidEvent:
        return None  # a control entry, or what no release could read


def arrow() -> tuple[Any, Any]:
    """The packages `pyarrow` and `pyarrow.parquet`. Raises `Misconfigured` without them."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise Misconfigured("Parquet files need the extra `lake`: pip install 'odl[lake]'") from error
