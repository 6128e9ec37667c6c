"""A step that reads several pages means what as many steps mean, whatever happens between two reads."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from faulty_log import FaultyLog, append, new_log
from hash_learner import HashLearner

from odl.errors import HistoryLost, OdlError, Unavailable
from odl.fold import Fold
from odl.follower import Follower
from odl.log import Slice
from odl.reading import FIRST, Reading


class Eventful(FaultyLog):
    """Something happens before the second read of a step."""

    happening: Callable[[], None] = staticmethod(lambda: None)

    def read(self, version: int, count: int) -> Slice:
        if version:
            happening, self.happening = self.happening, lambda: None
            happening()
        return super().read(version, count)


def follower_of(count: int, happening: Callable[[Eventful], None] = lambda log: None) -> Follower:
    log = Eventful()
    log.create()
    for number in range(count):
        append(log, f"e-{number}")
    log.happening = lambda: happening(log)
    return Follower(HashLearner, HashLearner.from_bytes, log, None)


def fold_of(follower: Follower, up_to: int) -> Fold:
    fold = Fold(HashLearner())
    for entry in follower.folds.log.read(0, up_to).entries:
        fold.take(entry)
    return fold


def test_one_step_reads_page_after_page_up_to_its_count() -> None:
    follower = follower_of(700)
    head = follower.step(500)
    assert head is not None and head.version == 700
    assert follower.fold.to_bytes() == fold_of(follower, 500).to_bytes()
    assert follower.chain_at(1) == fold_of(follower, 1).chain, "of every version that the step passed"
    assert follower.chain_at(500) == follower.fold.chain and follower.chain_at(501) is None


def test_few_entries_are_one_read() -> None:
    follower = follower_of(FIRST)
    assert isinstance(follower.folds.log, Eventful)
    follower.step(512)
    assert follower.folds.log.reads == [0] and follower.fold.version == FIRST


def test_the_head_is_that_of_the_last_read() -> None:
    follower = follower_of(100, lambda log: append(log, "late") and None)
    head = follower.step(512)
    assert head is not None and (head.version, follower.fold.version) == (101, 101)


def fail(error: OdlError) -> Callable[[Eventful], None]:
    def happening(log: Eventful) -> None:
        log.error = error

    return happening


@pytest.mark.parametrize("error", [Unavailable("away"), HistoryLost("damaged")], ids=["away", "damaged"])
def test_a_log_that_fails_between_two_pages_fails_the_next_step(error: OdlError) -> None:
    follower = follower_of(300, fail(error))
    head = follower.step(512)
    assert head is not None and (head.version, follower.fold.version) == (300, FIRST)
    with pytest.raises(type(error)):
        follower.step(512)
    assert isinstance(follower.folds.log, Eventful)
    follower.folds.log.error = None
    follower.step(512)
    assert follower.fold.to_bytes() == fold_of(follower, 300).to_bytes()


def rewind(to: int, then: int) -> Callable[[Eventful], None]:
    """The log loses what comes after a version, and goes on with other events."""

    def happening(log: Eventful) -> None:
        state = log._here()
        kept = {at: entry for at, entry in state.entries.items() if at <= to}
        state.entries = kept
        state.head = replace(state.head, version=to, chain=kept[to].chain)
        for number in range(then):
            append(log, f"other-{number}")

    return happening


def test_a_rewind_behind_what_was_read_goes_on_as_the_log_does() -> None:
    follower = follower_of(300, rewind(200, then=50))
    head = follower.step(512)
    assert head is not None and head.version == 250
    assert follower.fold.to_bytes() == fold_of(follower, 250).to_bytes()


@pytest.mark.parametrize("then", [0, 100])
def test_a_rewind_before_what_was_read_ends_the_step_and_is_found_by_the_next(then: int) -> None:
    follower = follower_of(300, rewind(40, then=then))
    head = follower.step(512)
    assert head is not None and (head.version, follower.fold.version) == (300, FIRST)
    assert follower.step(512) is None and follower.resets == 1
    follower.step(512)
    assert follower.fold.to_bytes() == fold_of(follower, 40 + then).to_bytes()


def test_another_log_is_not_read_on() -> None:
    def anew(log: Eventful) -> None:
        log.flush()
        log.create()
        for number in range(300):
            append(log, f"e-{number}")  # the same chains

    follower = follower_of(300, anew)
    follower.step(512)
    assert follower.fold.version == FIRST
    assert follower.step(512) is None


def test_pages_grow() -> None:
    log, _, _ = new_log()
    for number in range(400):
        append(log, f"e-{number}")
    reading = Reading(log, 0, 350)
    sizes = [len(page) for page in reading]
    assert sizes == [64, 128, 158] and len(reading.entries) == 350
