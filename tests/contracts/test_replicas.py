"""What every list of heartbeats does."""

from dataclasses import replace
from typing import Any

import pytest

from odl.errors import Unavailable
from odl.replicas import ReplicaRecord

TTL_MS = 60_000
RECORD = ReplicaRecord(
    "r1", version=7, epoch=1, chain="c", digest="d", fold_id="f", url="http://ü:1", time_ms=5
)


def test_nobody_is_alive_at_first(storage: Any) -> None:
    assert storage.replicas.list() == []


def test_the_last_beat_of_each_is_listed_by_id(storage: Any) -> None:
    storage.replicas.beat(replace(RECORD, id="r2"), TTL_MS)
    storage.replicas.beat(RECORD, TTL_MS)
    storage.replicas.beat(replace(RECORD, id="r2", version=9), TTL_MS)
    assert storage.replicas.list() == [RECORD, replace(RECORD, id="r2", version=9)]


def test_who_does_not_beat_is_dropped(storage: Any) -> None:
    storage.replicas.beat(RECORD, TTL_MS)
    storage.replicas.beat(replace(RECORD, id="r2"), 2 * TTL_MS)
    storage.pass_time(TTL_MS)
    assert [record.id for record in storage.replicas.list()] == ["r2"]
    storage.replicas.beat(replace(RECORD, version=8), TTL_MS)
    assert [record.version for record in storage.replicas.list()] == [8, 7]


def test_their_number_is_bounded_by_those_alive(storage: Any) -> None:
    for replica in ("r1", "r2", "r3"):
        storage.replicas.beat(replace(RECORD, id=replica), TTL_MS)
    storage.replicas.beat(replace(RECORD, id="r3"), 2 * TTL_MS)
    with pytest.raises(Unavailable, match="3 other replicas"):
        storage.replicas.beat(replace(RECORD, id="r4"), TTL_MS)
    storage.pass_time(TTL_MS)
    storage.replicas.beat(replace(RECORD, id="r4"), TTL_MS)
    assert [record.id for record in storage.replicas.list()] == ["r3", "r4"]
