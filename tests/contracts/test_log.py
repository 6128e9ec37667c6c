"""What every log does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from odl.errors import Fenced, LogFull, LogMissing
from odl.log import CHAIN_START, Append, Appended, Counters, Entry, Log, Outcome, next_chain

SOURCE = "kafka:c:t:0"
ACCEPTED, DUPLICATE, GAP = Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.GAP


def event(event_id: str, prev: str | None = None, seq: str | None = None, source: str = SOURCE) -> Append:
    """An event whose payload is its id."""
    return Append(event_id.encode(), event_id, source, prev, seq)


def rest(event_id: str) -> Append:
    """An event of a source without positions."""
    return Append(event_id.encode(), event_id, "rest:test")


def hole(prev: str | None, seq: str) -> Append:
    """A position that is passed over."""
    return Append(b"", "", SOURCE, prev, seq)


@pytest.fixture
def log(log_storage: Any) -> Log:
    log: Log = log_storage.log
    log.create()
    return log


def payloads(log: Log) -> list[bytes]:
    return [entry.payload for entry in log.read(0, 10_000).entries]


# Creation


def test_a_new_log_is_empty_at_version_0(log: Log) -> None:
    head = log.head()
    assert (head.version, head.chain, head.epoch) == (0, CHAIN_START, 1)
    assert head.log_id
    assert log.counters() == Counters(duplicates=0, skipped=0, horizon=1)
    assert log.read(0, 10).entries == []
    assert log.positions() == {}


def test_creating_twice_keeps_the_first_log(log: Log) -> None:
    log.append(rest("a"))
    assert log.create() == log.head()
    assert log.head().version == 1


def test_every_call_on_a_missing_log_says_so(log_storage: Any) -> None:
    log: Log = log_storage.log
    lease = log_storage.lock.acquire("test", 60_000)
    for call in (
        log.head,
        log.positions,
        log.counters,
        lambda: log.position(SOURCE),
        lambda: log.append(rest("a")),
        lambda: log.append_many([rest("a")]),
        lambda: log.read(0, 10),
        lambda: log.find(["a"]),
        lambda: log.raise_epoch(2),
        lambda: log.trim(1, "fold", lease),
    ):
        with pytest.raises(LogMissing):
            call()
    assert log.create().version == 0


# Appending


def test_events_stand_in_order_with_their_chain(log: Log) -> None:
    answers = [log.append(rest(name)) for name in "abc"]
    assert answers == [Appended(ACCEPTED, version, None) for version in (1, 2, 3)]
    chain, expected = CHAIN_START, []
    for version, payload in enumerate([b"a", b"b", b"c"], start=1):
        chain = next_chain(chain, payload)
        expected.append(Entry(version, chain, payload))
    found = log.read(0, 10)
    assert found.entries == expected
    assert (found.head.version, found.head.chain) == (3, chain)


def test_any_bytes_come_back_as_they_were(log: Log) -> None:
    items = [b"\n \x00\r\n", bytes(range(256)), b"1 2 3\n4 5 6\n", "grüße\n☃".encode(), b"x" * 1_000_000]
    log.append_many([Append(payload, f"id {n}\n☃", "rest:ü") for n, payload in enumerate(items)])
    assert payloads(log) == items


def test_an_id_enters_once(log: Log) -> None:
    log.append(rest("a"))
    log.append(rest("b"))
    assert log.append(rest("a")) == Appended(DUPLICATE, 1, None)
    assert payloads(log) == [b"a", b"b"]
    assert log.counters().duplicates == 1


def test_an_id_enters_once_whatever_its_source(log: Log) -> None:
    log.append(event("a", None, "0"))
    assert log.append(event("a", None, "7", source="kafka:c:t:1")) == Appended(DUPLICATE, 1, "7")
    assert log.append(rest("a")) == Appended(DUPLICATE, 1, None)
    assert log.positions() == {SOURCE: "0", "kafka:c:t:1": "7"}


def test_a_position_enters_once(log: Log) -> None:
    """The reply of the first call was lost, so the sender repeats it."""
    log.append(event("a", None, "0"))
    before = log.head()
    assert log.append(event("a", None, "0")) == Appended(DUPLICATE, 1, "0")
    assert log.append(event("a", None, "0")) == Appended(DUPLICATE, 1, "0")
    assert log.head() == before
    assert log.append(event("b", "0", "1")) == Appended(ACCEPTED, 2, "1")
    assert log.append(event("a", None, "0")) == Appended(DUPLICATE, 1, "1")


def test_an_earlier_position_is_a_duplicate_even_of_an_unknown_id(log: Log) -> None:
    log.append(event("a", None, "5"))
    assert log.append(event("b", "3", "4")) == Appended(DUPLICATE, None, "5")
    assert payloads(log) == [b"a"]


def test_an_event_is_found_by_its_id_as_long_as_ids_are_remembered(log_storage: Any) -> None:
    log = log_storage.log_of(ids_max=2)
    log.create()
    for event_id in "abcde":  # generations: a b, c d, e
        log.append(rest(event_id))
    assert log.find(["e", "c", "d", "new"]) == [5, 3, 4, None]
    assert log.find(["a"]) == [None]
    assert log.find([]) == []


def test_holes_in_positions_are_allowed(log: Log) -> None:
    """Compacted and transactional topics have them."""
    assert log.append(event("a", None, "3")).outcome is ACCEPTED
    assert log.append(event("b", "3", "17")).outcome is ACCEPTED
    assert log.position(SOURCE) == "17"


def test_a_gap_changes_nothing_and_names_the_stored_position(log: Log) -> None:
    log.append(event("a", None, "3"))
    before = log.head(), log.counters(), log.positions()
    assert log.append(event("c", "4", "5")) == Appended(GAP, None, "3")
    assert log.append(event("c", None, "5")) == Appended(GAP, None, "3")
    assert log.append(event("c", "2", "5")) == Appended(GAP, None, "3")
    assert log.append(hole("4", "5")) == Appended(GAP, None, "3")
    assert (log.head(), log.counters(), log.positions()) == before
    assert log.append(event("c", "3", "5")).outcome is ACCEPTED


def test_a_sender_that_continues_where_nothing_is_stored_meets_a_gap(log: Log) -> None:
    """The log lost its tail with the whole source: the sender has to begin again."""
    assert log.append(event("b", "0", "1")) == Appended(GAP, None, None)
    assert log.append(event("a", None, "0")).outcome is ACCEPTED


def test_an_id_that_entered_before_still_moves_the_position(log: Log) -> None:
    """A producer that sends an event twice must not stop its partition."""
    log.append(event("a", None, "0"))
    assert log.append(event("a", "0", "1")) == Appended(DUPLICATE, 1, "1")
    assert log.append(event("b", "1", "2")) == Appended(ACCEPTED, 2, "2")


def test_an_empty_payload_only_moves_the_position(log: Log) -> None:
    log.append(event("a", None, "0"))
    assert log.append(hole("0", "4")) == Appended(ACCEPTED, None, "4")
    assert log.append(hole("0", "4")) == Appended(DUPLICATE, None, "4")
    assert log.append(event("b", "4", "5")) == Appended(ACCEPTED, 2, "5")
    assert log.counters() == Counters(duplicates=0, skipped=1, horizon=1)


def test_positions_are_compared_as_numbers_of_any_size(log: Log) -> None:
    for prev, seq in (
        (None, "9"),
        ("9", "10"),
        ("10", "9007199254740993"),  # a double would round it
        ("9007199254740993", "9007199254740994"),
        ("9007199254740994", "9" * 30),
    ):
        assert log.append(event(seq, prev, seq)).outcome is ACCEPTED
    assert log.append(event("x", "9007199254740992", "9007199254740993")).outcome is DUPLICATE
    assert log.position(SOURCE) == "9" * 30


def test_sources_are_apart(log: Log) -> None:
    log.append(event("a", None, "0", source="kafka:c:t:0"))
    log.append(event("b", None, "0", source="kafka:c:t:1"))
    assert log.positions() == {"kafka:c:t:0": "0", "kafka:c:t:1": "0"}
    assert log.position("kafka:c:t:2") is None


def test_many_appends_are_answered_in_order(log: Log) -> None:
    items = [event(str(n), str(n - 1) if n else None, str(n)) for n in range(2_500)]
    assert log.append_many(items) == [Appended(ACCEPTED, n + 1, str(n)) for n in range(2_500)]
    assert [answer.outcome for answer in log.append_many(items[:3])] == [DUPLICATE] * 3
    assert log.append_many([]) == []


def test_a_gap_within_many_appends_holds_up_the_rest_of_its_source_only(log: Log) -> None:
    answers = log.append_many(
        [event("a", None, "0"), event("c", "1", "2"), rest("r"), event("d", "2", "3"), event("e", "0", "4")]
    )
    assert [answer.outcome for answer in answers] == [ACCEPTED, GAP, ACCEPTED, GAP, ACCEPTED]
    assert payloads(log) == [b"a", b"r", b"e"]


def test_sixteen_senders_at_once_lose_nothing(log: Log) -> None:
    def send(sender: int) -> list[int]:
        source = f"kafka:c:t:{sender}"
        versions = []
        for n in range(40):
            prev = str(n - 1) if n else None
            answer = log.append(event(f"{sender}-{n}", prev, str(n), source=source))
            assert answer.outcome is ACCEPTED and answer.version is not None
            assert log.append(rest(f"{sender}-{n}")).outcome is DUPLICATE
            versions.append(answer.version)
        return versions

    with ThreadPoolExecutor(16) as pool:
        versions = [version for each in pool.map(send, range(16)) for version in each]
    assert sorted(versions) == list(range(1, 641))
    entries = log.read(0, 1_000).entries
    assert {entry.payload.decode() for entry in entries} == {f"{s}-{n}" for s in range(16) for n in range(40)}
    chain = CHAIN_START
    for entry in entries:
        chain = next_chain(chain, entry.payload)
        assert entry.chain == chain
    assert log.head().chain == chain


def test_racing_creators_agree_on_one_log(log_storage: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        heads = list(pool.map(lambda _: log_storage.log.create(), range(32)))
    assert len({head.log_id for head in heads}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": ""},
        {"event_id": ""},
        {"payload": b""},
        {"payload": b"", "event_id": ""},
        {"prev": "1"},
        {"seq": "-1"},
        {"seq": "01"},
        {"seq": ""},
        {"seq": "1.0"},
        {"seq": "1\n"},
        {"seq": "٣"},
        {"seq": "9" * 31},
        {"seq": "5", "prev": "x"},
        {"seq": "5", "prev": "5"},
        {"seq": "9", "prev": "10"},
    ],
)
def test_what_no_sender_can_mean_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Append(**{"payload": b"a", "event_id": "a", "source": "s"} | wrong)


# Reading


def test_a_reader_gets_its_own_entry_first(log: Log) -> None:
    log.append_many([rest(name) for name in "abcde"])
    assert [entry.version for entry in log.read(2, 2).entries] == [2, 3, 4]
    assert [entry.version for entry in log.read(0, 2).entries] == [1, 2]
    assert [entry.version for entry in log.read(4, 100).entries] == [4, 5]
    assert [entry.version for entry in log.read(3, 0).entries] == [3]
    assert log.read(0, 0).entries == []


def test_a_reader_at_the_head_gets_no_entry_since_the_head_has_its_chain(log: Log) -> None:
    log.append_many([rest(name) for name in "abc"])
    found = log.read(3, 10)
    assert found.entries == []
    assert found.head.chain == log.read(2, 1).entries[-1].chain


def test_a_reader_beyond_the_head_finds_no_entry(log: Log) -> None:
    log.append(rest("a"))
    found = log.read(2, 10)
    assert found.entries == []
    assert found.head.version == 1


def test_a_rewind_shows_in_the_chain_at_the_readers_own_version(log_storage: Any) -> None:
    log: Log = log_storage.log
    log.create()
    log.append_many([rest("a"), rest("b")])
    backup = log_storage.backup()
    log.append_many([rest("lost"), rest("too")])
    learned = log.head()
    log_storage.restore(backup)
    assert log.read(learned.version, 10).entries == []  # shorter than what was learned
    log.append_many([rest("c"), rest("d")])
    found = log.read(learned.version, 10)  # as long: the head's chain tells
    assert found.head.version == learned.version
    assert found.head.chain != learned.chain
    log.append(rest("e"))
    own, *_ = log.read(learned.version, 10).entries  # longer: its own entry tells
    assert own.version == learned.version
    assert own.chain != learned.chain
    assert log.read(2, 10).entries[0].payload == b"b"


def test_a_rewind_takes_positions_and_ids_back_with_the_entries(log_storage: Any) -> None:
    """So the sender meets a gap, goes back and nothing is lost or doubled."""
    log: Log = log_storage.log
    log.create()
    log.append(event("a", None, "0"))
    backup = log_storage.backup()
    log.append(event("b", "0", "1"))
    log_storage.restore(backup)
    assert log.append(event("c", "1", "2")) == Appended(GAP, None, "0")
    assert log.append(event("b", "0", "1")) == Appended(ACCEPTED, 2, "1")
    assert log.append(event("c", "1", "2")) == Appended(ACCEPTED, 3, "2")


def test_the_epoch_only_rises(log: Log) -> None:
    assert log.raise_epoch(3).epoch == 3
    assert log.raise_epoch(2).epoch == 3
    assert log.raise_epoch(3) == log.head()
    log.append(rest("a"))
    assert log.read(0, 1).head.epoch == 3


# The ids that are remembered


def test_at_least_ids_max_ids_are_remembered(log_storage: Any) -> None:
    log: Log = log_storage.log_of(ids_max=10)
    log.create()
    for n in range(1, 101):
        assert log.append(rest(str(n))).version == n
        horizon = log.counters().horizon
        assert horizon <= max(1, n - 9), "the last ten are known"
        assert horizon >= n - 19, "memory is bounded: two generations of ten"
        assert log.append(rest(str(horizon))) == Appended(DUPLICATE, horizon, None)
        assert log.append(rest(str(n))) == Appended(DUPLICATE, n, None)


def test_an_id_before_the_horizon_could_enter_again(log_storage: Any) -> None:
    log: Log = log_storage.log_of(ids_max=2)
    log.create()
    log.append_many([rest(str(n)) for n in range(1, 6)])
    assert log.counters().horizon == 3
    assert log.append(rest("3")).outcome is DUPLICATE
    assert log.append(rest("2")) == Appended(ACCEPTED, 6, None)


def test_positions_protect_beyond_the_horizon_of_ids(log_storage: Any) -> None:
    log: Log = log_storage.log_of(ids_max=2)
    log.create()
    items = [event(str(n), str(n - 1) if n else None, str(n)) for n in range(9)]
    log.append_many(items)
    assert [answer.outcome for answer in log.append_many(items)] == [DUPLICATE] * 9
    assert log.append(items[0]) == Appended(DUPLICATE, None, "8")  # known by its position only


# Trimming is tested with the snapshots that allow it, in test_trim.py


def test_the_lease_of_a_trim_is_checked_first(log_storage: Any) -> None:
    log_storage.log.create()
    lease = log_storage.lock.acquire("a", 60_000)
    log_storage.lock.release(lease)
    log_storage.lock.acquire("b", 60_000)
    with pytest.raises(Fenced):
        log_storage.log.trim(0, "fold", lease)


# Whose log it is, how far it may grow, and what is too old


def test_the_first_fold_that_claims_a_log_has_it(log: Log) -> None:
    assert log.head().fold_id == ""
    assert log.claim("first").fold_id == "first"
    assert log.claim("second").fold_id == "first"
    assert {log.head().fold_id, log.read(0, 1).head.fold_id, log.raise_epoch(1).fold_id} == {"first"}
    assert log.create().fold_id == "first"


def test_handing_a_log_over_needs_the_newest_lease(log_storage: Any, log: Log) -> None:
    log.claim("first")
    lease = log_storage.lock.acquire("test", 1_000)
    assert log.adopt("second", lease).fold_id == "second"
    log_storage.pass_time(1_000)
    newer = log_storage.lock.acquire("another", 1_000)
    with pytest.raises(Fenced):
        log.adopt("third", lease)
    assert log.head().fold_id == "second"
    assert log.adopt("third", newer).fold_id == "third"


def test_nothing_enters_beyond_the_limit_and_what_was_refused_enters_later(log: Log) -> None:
    log.append(event("a", None, "0"))
    log.limit(2, "a replica is slow")
    for _ in range(2):
        with pytest.raises(LogFull, match="no entry after version 2 for the moment: a replica is slow"):
            log.append_many([event("b", "0", "1"), event("c", "1", "2"), event("d", "2", "3")])
    assert payloads(log) == [b"a", b"b"]
    assert log.position(SOURCE) == "1", "the position of what was refused has not moved"
    assert log.append(event("b", "0", "1")) == Appended(DUPLICATE, 2, "1"), "what is known needs no room"
    assert log.append(hole("1", "2")).outcome is ACCEPTED
    log.limit(4, "")
    assert log.append(event("c", "2", "3")) == Appended(ACCEPTED, 3, "3")


def test_what_is_older_than_the_horizon_is_refused_if_that_is_known(log_storage: Any) -> None:
    log = log_storage.log_of(ids_max=2)
    log.create()
    for name in "abcdefg":
        log.append(rest(name))
    horizon = log.counters().horizon
    assert horizon == 5, "the ids of e, f and g are known"
    expired = Append(b"a", "a", "rest:test", after=horizon - 2)
    assert log.append(expired) == Appended(Outcome.EXPIRED, None, None)
    known = Append(b"e", "e", "rest:test", after=1)
    assert log.append(known) == Appended(DUPLICATE, 5, None), "what is known is never too old"
    new = Append(b"h", "h", "rest:test", after=horizon - 1)
    assert log.append(new).version == 8, "it can only have entered at the horizon or later"
    assert log.append(rest("a")).version == 9, "a sender that tells nothing is believed"


def test_what_is_too_old_does_not_move_its_position(log_storage: Any) -> None:
    log = log_storage.log_of(ids_max=1)
    log.create()
    for name in "abc":
        log.append(rest(name))
    assert log.append(event("x", None, "0")).outcome is ACCEPTED
    old = Append(b"old", "old", SOURCE, "0", "1", after=1)
    assert log.append_many([old, event("y", "1", "2")]) == [
        Appended(Outcome.EXPIRED, None, "0"),
        Appended(GAP, None, "0"),
    ]
    assert log.append(hole("0", "1")).outcome is ACCEPTED


def test_a_share_of_memory_is_told(log: Log) -> None:
    assert log.fullness() == 0.0, "neither has a limit here"
