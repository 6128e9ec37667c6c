"""The check of linearizability finds what it should, and nothing else."""

import itertools

import pytest
from fire.counter import Operation, check
from hypothesis import given, settings
from hypothesis import strategies as st


def predict(began: float, ended: float, version: int, stale: bool = False) -> Operation:
    return Operation("predict", began, ended, version, stale)


def feedback(began: float, ended: float, version: int) -> Operation:
    return Operation("feedback", began, ended, version)


def test_operations_that_overlap_may_take_effect_in_any_order() -> None:
    assert check([feedback(0, 9, 2), feedback(1, 8, 1), predict(2, 7, 0), predict(3, 6, 2)]) == []


@pytest.mark.parametrize(
    "history",
    [
        [feedback(0, 1, 1), predict(2, 3, 0)],  # acknowledged, not seen
        [predict(0, 1, 5), predict(2, 3, 4)],  # seen by one, not by the next
        [predict(0, 1, 1), feedback(2, 3, 1)],  # seen before it was sent
        [feedback(0, 1, 3), feedback(2, 3, 2)],  # acknowledged in the wrong order
        [feedback(0, 3, 3), feedback(1, 4, 3)],  # two share a version
        [feedback(0, 9, 4), predict(1, 2, 7), predict(3, 4, 6)],  # stale beside something slow
    ],
)
def test_what_no_single_counter_can_answer_is_found(history: list[Operation]) -> None:
    assert check(history)


def test_an_answer_that_says_it_may_be_stale_promises_nothing() -> None:
    history = [feedback(0, 1, 1), predict(2, 3, 0, stale=True)]
    assert check(history) == []
    assert check(history, believe_marks=False)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 6), st.integers(0, 4)), max_size=5)
)
def test_it_agrees_with_trying_every_order(drawn: list[tuple[bool, int, int, int]]) -> None:
    history = [
        feedback(began, began + length, version) if is_feedback else predict(began, began + length, version)
        for is_feedback, began, length, version in drawn
    ]
    assert (not check(history)) == any(map(_is_a_counter, itertools.permutations(history)))


def _is_a_counter(order: tuple[Operation, ...]) -> bool:
    """Whether a counter that others increment, too, can have answered in this order, one after the other."""
    count = 0
    for operation in order:
        if operation.version < count + (operation.kind == "feedback"):
            return False
        count = operation.version
    return all(not second.ended < first.began for first, second in itertools.combinations(order, 2))
