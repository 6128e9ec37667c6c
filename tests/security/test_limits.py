"""The bound on each source's feedback."""

import threading

import pytest

from odl.errors import InvalidEvent
from seldon.limits import OTHERS, RateBound


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def is_taken(bound: RateBound, source: str, count: int = 1) -> bool:
    try:
        bound.take(source, count)
    except InvalidEvent as error:
        assert (error.status, error.reason) == (429, "TOO_FAST")
        return False
    return True


def test_the_mean_rate_is_kept_after_the_burst() -> None:
    clock = Clock()
    bound = RateBound(100, 50, clock=clock)
    taken = 0
    for _ in range(10_000):  # ten times the rate for ten seconds
        taken += is_taken(bound, "rest:shop")
        clock.now += 0.001
    assert taken == pytest.approx(50 + 100 * 10, abs=2)


def test_one_source_does_not_use_up_what_another_may_send() -> None:
    bound = RateBound(1, 3, clock=Clock())
    while is_taken(bound, "rest:bad"):
        pass
    assert is_taken(bound, "rest:good")


def test_a_large_request_passes_and_is_paid_off_before_the_next() -> None:
    clock = Clock()
    bound = RateBound(10, 5, clock=clock)
    assert is_taken(bound, "rest:shop", 105)
    with pytest.raises(InvalidEvent) as caught:
        bound.take("rest:shop", 1)
    assert caught.value.retry_after_s == 11  # 100 overdrawn, and one to have
    clock.now = 10.0
    assert not is_taken(bound, "rest:shop")
    clock.now = float(caught.value.retry_after_s)
    assert is_taken(bound, "rest:shop")


def test_invented_names_share_one_bucket_beyond_the_bound() -> None:
    bound = RateBound(1, 2, clock=Clock(), sources_max=10)
    taken = sum(is_taken(bound, f"rest:{number}") for number in range(10_000))
    assert taken <= 10 + 2
    assert len(bound._buckets) <= 10 + 1 and OTHERS in bound._buckets


def test_a_source_that_came_to_rest_makes_room_for_a_new_one() -> None:
    clock = Clock()
    bound = RateBound(1, 2, clock=clock, sources_max=2)
    for source in ("rest:a", "rest:b"):
        bound.take(source, 2)
    clock.now = 2.0
    bound.take("rest:c", 2)
    assert set(bound._buckets) == {"rest:b", "rest:c"}
    assert is_taken(bound, "rest:b")


def test_threads_take_no_more_than_there_is() -> None:
    bound = RateBound(1e-6, 100, clock=Clock())
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(is_taken(bound, "rest:a") for _ in range(100)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 100
