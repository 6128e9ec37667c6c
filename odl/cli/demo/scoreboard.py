"""What was answered and what became true: scores of the predictions that were really served."""

from dataclasses import dataclass

from odl.cli.demo.client import Answer
from odl.cli.demo.flights import LATE, ON_TIME, Flight
from odl.prequential import Prequential


@dataclass(frozen=True, slots=True)
class Served:
    """A prediction that was served, and what was known besides when it was asked for."""

    flight: Flight
    answer: Answer
    base_rate: float  # share of late flights among the outcomes known then (one of each class in advance)

    @property
    def probability(self) -> float:
        """Of being late, as answered."""
        return self.answer.probabilities[LATE]

    @property
    def late(self) -> bool:
        """The truth."""
        return self.flight.y == LATE


class Scoreboard:
    """Predictions wait here for their outcomes; each is scored by what was answered before."""

    def __init__(self, n_late: int = 0, n_known: int = 0) -> None:
        """`n_late`, `n_known`: outcomes known from earlier runs."""
        self._n_late, self._n_known = n_late, n_known
        self._open: dict[str, Served] = {}
        self.scored: list[Served] = []  # in the order in which outcomes became known
        self.running = Prequential()

    def predicted(self, flight: Flight, answer: Answer) -> None:
        """A prediction was served."""
        self._open[flight.id] = Served(flight, answer, (self._n_late + 1) / (self._n_known + 2))

    def known(self, flight: Flight) -> Served:
        """Its outcome is known now."""
        served = self._open.pop(flight.id)
        self.scored.append(served)
        self._n_known += 1
        self._n_late += served.late
        self.running.update({ON_TIME: 1 - served.probability, LATE: served.probability}, flight.y)
        return served
