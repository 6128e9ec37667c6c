"""Replays flights in event time: at the scheduled departure a prediction, after the arrival its feedback."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from odl.cli.demo.client import Answer, Client
from odl.cli.demo.flights import Flight
from odl.cli.demo.scoreboard import Scoreboard, Served
from odl.event import Event
from streaming.producer import FeedbackProducer

SLICE_MIN = 5  # event time that passes at once; shorter means more turns, longer means later outcomes
REST_EVERY = 10  # every tenth flight's outcome comes by REST, the others through Kafka
THREADS = 8  # requests at once: a busy slice has about as many departures


@dataclass
class Slice:
    """What happens within `SLICE_MIN` minutes."""

    departing: list[Flight] = field(default_factory=list)  # to be predicted
    known: list[Flight] = field(default_factory=list)  # whose outcome became known


def slices(flights: Sequence[Flight]) -> Iterator[Slice]:
    """Event time in steps, those in which nothing happens left out; every flight departs in one and is
    known in the same or a later one."""
    steps: dict[int, Slice] = {}
    for flight in sorted(flights, key=lambda flight: (flight.departure_min, flight.id)):
        steps.setdefault(flight.departure_min // SLICE_MIN, Slice()).departing.append(flight)
    for flight in sorted(flights, key=lambda flight: (flight.known_min, flight.id)):
        steps.setdefault(flight.known_min // SLICE_MIN, Slice()).known.append(flight)
    return (steps[number] for number in sorted(steps))


def goes_by_rest(flight: Flight) -> bool:
    """Which way an outcome takes; the same in every run."""
    return int(flight.id.rpartition("-")[2]) % REST_EVERY == 0


class Driver:
    """Asks the replicas in turn and feeds outcomes back."""

    def __init__(
        self,
        client: Client,
        producer: FeedbackProducer,
        replica_urls: Sequence[str],
        scoreboard: Scoreboard,
        version: int,
    ) -> None:
        """`version`: of the log before the first outcome."""
        self._client = client
        self._producer = producer
        self._turns = cycle(replica_urls)
        self._scoreboard = scoreboard
        self.version = version  # that the log has or will have with what was acknowledged so far

    def replay(self, flights: Sequence[Flight], on_slice: Callable[[], None]) -> None:
        """Predict and feed back every flight; returns when all outcomes are acknowledged.

        A slice is predicted before its own outcomes are sent. Each prediction must have learned all outcomes
        but those of the previous slice, which are on their way: 5 to 10 minutes of event time. So nothing is
        used too early, and a fast replay does not run ahead of the learning.
        """
        pool = ThreadPoolExecutor(THREADS, "demo")
        try:
            on_their_way: list[Future[Any]] = []
            for step in slices(flights):
                answers = [pool.submit(self._predict, flight, next(self._turns)) for flight in step.departing]
                for flight, answer in zip(step.departing, answers, strict=True):
                    self._scoreboard.predicted(flight, answer.result())
                self._await(on_their_way)
                on_their_way = [self._feed_back(pool, flight) for flight in step.known]
                on_slice()
            self._await(on_their_way)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _predict(self, flight: Flight, url: str) -> Answer:
        return self._client.predict(url, flight.id, flight.x, self.version)

    def _await(self, acknowledgements: list[Future[Any]]) -> None:
        for acknowledgement in acknowledgements:
            acknowledgement.result()
        self.version += len(acknowledgements)

    def _feed_back(self, pool: ThreadPoolExecutor, flight: Flight) -> Future[Any]:
        served = self._scoreboard.known(flight)
        if goes_by_rest(flight):
            return pool.submit(self._feed_back_by_rest, served, next(self._turns))
        return self._producer.send(
            Event(
                id=flight.id,
                x=flight.x,
                y=flight.y,
                time_ms=flight.known_min * 60_000,
                version=served.answer.version,
            )
        )

    def _feed_back_by_rest(self, served: Served, url: str) -> None:
        flight = served.flight
        self._client.feedback(url, flight.id, flight.x, flight.y, served.answer.version)
