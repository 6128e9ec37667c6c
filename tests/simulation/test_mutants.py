"""The simulation can fail: it notices every rule that is taken away."""

import pytest
from mutants import MUTANTS
from simulation import UNEXPECTED, run_many

SEEDS_MAX = 500  # most are caught by the first three, none needs a quarter of this


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_that_is_missing_is_noticed(name: str) -> None:
    caught = next((run for run in run_many(range(SEEDS_MAX), MUTANTS[name]) if run.violation), None)
    assert caught is not None, f"{SEEDS_MAX} worlds without this rule broke no promise"
    assert not caught.violation.startswith(UNEXPECTED), "the mutant itself is broken"
