"""Where reading goes on."""

import pytest

from odl.errors import Unavailable
from streaming.connection import admin_client
from streaming.source import Start, find_start, identify

KEY = "kafka:c:t:0"


@pytest.mark.parametrize(
    ("positions", "low", "high", "expected"),
    [
        ({}, 0, 0, Start(KEY, None, 0)),
        ({}, 4, 9, Start(KEY, None, 4)),
        ({KEY: "3"}, 4, 9, Start(KEY, "3", 4)),
        ({KEY: "8"}, 4, 9, Start(KEY, "8", 9)),
        ({KEY: "2"}, 4, 9, Start(KEY, "2", 4, missing=1)),
        ({KEY: "9"}, 4, 9, Start(f"{KEY}#1", None, 9, truncated=True)),
        ({KEY: "90", f"{KEY}#1": "8"}, 0, 9, Start(f"{KEY}#1", "8", 9)),
        ({KEY: "90", f"{KEY}#1": "60"}, 0, 9, Start(f"{KEY}#2", None, 9, truncated=True)),
        ({"kafka:c:t:00": "8", "rest:x": "1"}, 0, 9, Start(KEY, None, 0)),
    ],
)
def test_the_stored_position_decides(positions, low, high, expected):
    assert find_start(positions, KEY, low, high) == expected


def test_a_topic_keeps_its_identity_until_it_is_created_again(broker):
    broker.create_topic("again", 1)
    admin = admin_client(broker.bootstrap)
    first = identify(admin, "again")
    assert identify(admin, "again") == first
    broker.delete_topic("again")
    with pytest.raises(Unavailable, match="topic 'again'"):
        identify(admin, "again")
    broker.create_topic("again", 1)
    second = identify(admin, "again")
    assert second.cluster_id == first.cluster_id
    assert second.topic_id != first.topic_id
    assert not set("+/") & set(second.topic_id)
