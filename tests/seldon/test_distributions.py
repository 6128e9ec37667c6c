"""What is asked and answered of late, against the reference."""

import random

import pytest

from seldon.distributions import COMPARED_ROWS_MIN, FIELDS_MAX, Distributions, Row


def rows(seed: int, n: int, mean: float = 0.0, places: str = "abc", missing: float = 0.0) -> list[Row]:
    rng = random.Random(seed)
    return [
        {
            "x": None if rng.random() < missing else rng.gauss(mean, 1),
            "place": rng.choice(places),
            "flag": True,
        }
        for _ in range(n)
    ]


def after(*parts: list[Row]) -> Distributions:
    distributions = Distributions(1_000, 1_000)
    for part in parts:
        for row in part:
            distributions.add(row)
    return distributions


def test_more_of_the_same_is_no_change() -> None:
    states = after(rows(1, 1_000), rows(2, 1_000)).states()
    assert set(states) == {"x", "place", "flag"}
    assert all(state.psi < 0.1 and state.missing == state.unseen == 0 for state in states.values())


def test_a_moved_number_shows() -> None:
    states = after(rows(1, 1_000), rows(2, 1_000, mean=1.0)).states()
    assert states["x"].psi > 0.25 and states["place"].psi < 0.1


def test_missing_values_and_unseen_categories_show() -> None:
    states = after(rows(1, 1_000), rows(2, 1_000, places="abcz", missing=0.3)).states()
    assert states["x"].missing == pytest.approx(0.3, abs=0.05) and states["x"].psi > 0.25
    assert states["place"].unseen == pytest.approx(0.25, abs=0.05) and states["place"].psi > 0.25


def test_what_is_over_is_forgotten() -> None:
    distributions = after(rows(1, 1_000), rows(2, 1_000, mean=3.0), rows(3, 1_000))
    assert distributions.states()["x"].psi < 0.1


def test_nothing_is_said_of_too_few_rows() -> None:
    assert after(rows(1, 1_000), rows(2, COMPARED_ROWS_MIN - 1)).states() == {}
    assert after(rows(1, 999)).ratios("place") == {}


def test_a_number_among_categories_and_a_category_among_numbers_is_another_value() -> None:
    distributions = after(rows(1, 1_000), [{"x": "many", "place": 7.0, "flag": 1}] * 1_000)
    states = distributions.states()
    assert states["x"].psi > 0.25 and states["place"].unseen == 1.0


def test_fields_are_bounded_and_those_beyond_are_counted() -> None:
    wide: Row = {f"f{number:03}": number for number in range(FIELDS_MAX + 9)}
    distributions = after([wide] * 1_300)
    assert len(distributions.states()) == FIELDS_MAX and distributions.fields_left_out == 9


def test_shares_of_classes_add_up() -> None:
    ratios = after(rows(1, 1_000), rows(2, 1_000, places="aaabz")).ratios("place")
    assert set(ratios) == {"a", "b", "c", "other"} and sum(ratios.values()) == pytest.approx(1)
