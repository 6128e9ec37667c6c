"""A log that says slow down: reading is paused, the membership is kept, nothing is lost or learned twice."""

from collections.abc import Callable
from typing import Any

import pytest

MAX_POLL = {"max.poll.interval.ms": 2_000}  # a member that does not poll so long is put out of its group


@pytest.fixture
def wait_for(wait_until: Callable[..., None]) -> Callable[..., None]:
    """Until a consumer's counter is at least this."""

    def wait(running: Any, **expected: int) -> None:
        for name, value in expected.items():
            wait_until(
                lambda n=name, v=value: getattr(running.consumer.stats(), n) >= v, f"{name} >= {value}"
            )

    return wait


def test_a_full_log_pauses_reading_and_keeps_the_membership(
    stream: Any, wait_for: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    ids = stream.produce(0, 300)
    stream.log.limit(100, "a replica cannot keep up")
    running = stream.start(options=MAX_POLL, batch_max=50)
    # Waits double up to 2 s: by then it is far beyond the interval.
    wait_for(running, pauses=1, retries=8)
    assert stream.log.head().version == 100
    stream.log.limit(10_000, "")
    ids += stream.produce(300, 400)
    stream.wait_for_version(400)
    running.stop()
    assert stream.log.ids() == ids
    assert running.error is None
    assert "MAX_POLL" not in caplog.text
    assert running.consumer.stats().pauses == 1


def test_a_rebalance_in_the_middle_of_a_pause_loses_and_doubles_nothing(
    new_stream: Callable[..., Any], wait_for: Callable[..., None]
) -> None:
    stream = new_stream(4)
    ids = stream.produce(0, 200)
    stream.log.limit(50, "a replica cannot keep up")
    one = stream.start(options=MAX_POLL)
    wait_for(one, pauses=1)
    two = stream.start(options=MAX_POLL)
    wait_for(two, pauses=1)
    ids += stream.produce(200, 300)
    one.stop()
    three = stream.start(options=MAX_POLL)
    wait_for(three, pauses=1)
    stream.log.limit(10_000, "")
    stream.wait_for_version(300)
    ids += stream.produce(300, 350)
    stream.wait_for_version(350)
    assert sorted(stream.log.ids()) == sorted(ids)
    assert [running.error for running in (one, two, three)] == [None] * 3


def test_history_that_is_lost_in_the_middle_of_a_pause_is_read_again(
    stream: Any, wait_for: Callable[..., None]
) -> None:
    ids = stream.produce(0, 40)
    running = stream.start(batch_max=20)
    stream.wait_for_version(40)
    kept = stream.log.remember()
    ids += stream.produce(40, 60)
    stream.wait_for_version(60)
    stream.log.limit(60, "a replica cannot keep up")
    ids += stream.produce(60, 90)
    wait_for(running, pauses=1)
    stream.log.rewind(kept)
    stream.wait_for_version(90)
    assert stream.log.ids() == ids
    assert running.consumer.stats().gaps > 0


def test_a_paused_consumer_stops_at_once(stream: Any, wait_for: Callable[..., None]) -> None:
    stream.produce(0, 30)
    stream.log.limit(10, "a replica cannot keep up")
    running = stream.start()
    wait_for(running, pauses=1)
    running.stop()
    assert running.error is None
    stream.log.limit(1000, "")
    stream.start()
    stream.wait_for_version(30)
    assert len(stream.log.ids()) == 30
