"""Whatever bytes arrive: no 5xx, no worker that dies, nothing learned but what was accepted."""

import json
from collections.abc import Iterator
from typing import Any

import fuzz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge_model import HedgeLearner, ModelSpec
from odl.errors import InvalidEvent
from odl.feedback import DirectSink
from odl.memory import MemoryLog
from odl.replica import Replica
from seldon.plane import DataPlane

COUNT = 5_000
SEED = 19


def test_five_thousand_requests_break_nothing() -> None:
    found = fuzz.main(SEED, COUNT)
    refused = sum(count for status, count in found.statuses.items() if 400 <= status < 500)
    # Most are refused, and enough get through for the version to be a witness.
    assert refused > COUNT / 3 and found.statuses[200] > COUNT / 20 and found.accepted > 50
    assert sum(found.statuses.values()) == COUNT


def test_what_must_not_be_is_noticed() -> None:
    """The judge, on answers that a broken server might give."""
    request = fuzz.Fuzzed("POST", "/predict", {}, b"{")
    for status, answer in (
        (500, b'{"status":{"info":"x"}}'),
        (400, b"Bad Request"),
        (400, b'{"status":{"info":"one\\ntwo"}}'),
        (400, b'{"status":{"info":""}}'),
        (400, b'{"status":{"info":"Traceback (most recent call last):"}}'),
        (200, b'File "seldon/app.py", line 1'),
    ):
        found = fuzz.Findings()
        fuzz.judge(request, status, answer, found)
        assert found.faults, answer


def test_a_seed_makes_the_same_requests_again() -> None:
    first, second = ([fuzz.make(fuzz.random.Random(3), number) for number in range(50)] for _ in range(2))
    assert first == second


@pytest.fixture(scope="module")
def plane() -> Iterator[tuple[DataPlane, MemoryLog]]:
    spec = ModelSpec(task="binary", classes=("on time", "late"), hidden_layers=1, width=16)
    log = MemoryLog()
    log.create()
    with Replica(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, replica_id="fuzzed") as replica:
        yield DataPlane(replica, DirectSink(log, "memory")), log


names = st.sampled_from([*fuzz.FIELDS, "x"]) | st.text(max_size=8)
numbers = st.integers() | st.floats()
values = st.none() | st.booleans() | numbers | st.text(max_size=20)
anything = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
messages = st.fixed_dictionaries(
    {}, optional={name: anything for name in ("data", "jsonData", "strData", "meta")}
)
feedbacks = st.fixed_dictionaries(
    {"request": messages | anything},
    optional={"truth": messages | anything, "reward": values, "response": anything},
)


@settings(max_examples=300, deadline=None)
@given(body=messages | feedbacks | anything | st.binary(max_size=60))
def test_the_plane_answers_or_refuses_and_does_nothing_else(
    plane: tuple[DataPlane, MemoryLog], body: Any
) -> None:
    data_plane, log = plane
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = log.head().version
    accepted = 0
    for call in (data_plane.predict, data_plane.feedback):
        try:
            answer = call(text)
        except InvalidEvent as error:
            assert 400 <= error.status < 500 and str(error)
        else:
            accepted += answer["meta"]["tags"].get("outcome") == "accepted"
    assert log.head().version == before or accepted
