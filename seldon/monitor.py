"""What a serving replica finds out about itself and its surroundings beside its work, for `/metrics`.

A thread of its own looks once a second at the replica's running sums and at the sampled predictions, and
every five seconds at Redis: a scrape then only formats what is known, also while Redis does not answer.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from odl.errors import OdlError
from odl.follower import Follower
from odl.recent import Recent, RecentScores, Sums
from odl.replica import Replica
from seldon.distributions import FieldState
from seldon.metrics import PlaneMetrics

LOOK_EVERY_S = 1.0
SURROUNDINGS_EVERY = 5  # looks
ANSWER_S_MAX = 5.0  # how long the replica's thread may take

logger = logging.getLogger(__name__)

Facts = Mapping[str, float]  # name of a gauge, without its prefix -> value

FACTS_HELP = {
    "redis_up": "Whether Redis answered at the last look",
    "redis_ping_seconds": "Round trip of a PING",
    "redis_memory_used_bytes": "Memory that Redis uses",
    "redis_memory_max_bytes": "Memory that Redis may use, 0: no limit",
    "log_head_version": "Version at the head of the log",
    "log_duplicates": "Events that were answered as duplicates, by the log's own count",
    "log_passed_over": "Positions that were passed over without an entry: dead letters, tombstones",
    "log_limit_used_ratio": "Share of the server's memory limit that is in use",
    "snapshots": "Visible snapshots",
    "snapshot_version": "Version of the newest snapshot",
    "snapshot_age_seconds": "Time since the newest snapshot was made",
    "snapshot_size_bytes": "Size of the newest snapshot",
    "snapshot_behind": "Entries after the newest snapshot: what a new replica has to learn",
    "lock_held": "Whether somebody holds the version lock",
    "lock_held_here": "Whether this replica holds the version lock",
    "lock_token": "Fencing token of who holds the version lock; it grows with every grant",
    "replicas": "Replicas whose heartbeat is known",
    "replicas_diverged": "Replicas with another chain or digest than others at the same version",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last looks found; replaced, never changed."""

    window: RecentScores = field(default_factory=lambda: RecentScores(0.0))
    faded: RecentScores = field(default_factory=lambda: RecentScores(0.0))
    inputs: Mapping[str, FieldState] = field(default_factory=dict)
    outputs: Mapping[str, FieldState] = field(default_factory=dict)
    classes: Mapping[str, float] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    at: float = 0.0  # when the facts were read, on the monotonic clock


class Monitor(Collector):
    """Looks, and shows what it saw. Stop it before its replica."""

    def __init__(
        self,
        replica: Replica,
        metrics: PlaneMetrics,
        facts: Callable[[], Facts],
        recent: Recent | None = None,
    ) -> None:
        """`facts`: reads the surroundings, raises `Unavailable` while they are out of reach."""
        self._replica = replica
        self._metrics = metrics
        self._read_facts = facts
        self._recent = recent or Recent()
        self._seen = _Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Look now and then once a second."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the thread; wait so long for it."""
        self._stop.set()
        self._thread.join(timeout_s)

    def look(self, around: bool = True) -> None:
        """One look, at the surroundings too if `around`. Raises `Unavailable` or `TimeoutError`."""
        metrics, seen = self._metrics, self._seen
        metrics.look()
        self._recent.sample(self._replica.ask(_sums).result(ANSWER_S_MAX))
        facts, at = self._facts() if around else (seen.facts, seen.at)
        states = metrics.distributions() if around else (seen.inputs, seen.outputs, seen.classes)
        self._seen = _Seen(self._recent.window(), self._recent.faded(), *states, facts, at)

    def collect(self) -> Iterator[Metric]:
        """What was seen last, as Prometheus' families."""
        seen = self._seen
        yield from _quality(seen)
        yield from _distributions(seen, self._metrics)
        for name, help_text in FACTS_HELP.items():
            yield _gauge(name, help_text, seen.facts.get(name))
        lag_s = self._replica.age_s()
        yield _gauge("replica_lag_seconds", "Time since this replica was known to be at the head", lag_s)

    def _facts(self) -> tuple[Facts, float]:
        try:
            return {"redis_up": 1.0, **self._read_facts()}, time.monotonic()
        except OdlError as error:
            logger.debug("no facts: %s", error)
            return {"redis_up": 0.0}, time.monotonic()

    def _run(self) -> None:
        looks = 0
        while not self._stop.is_set():
            try:
                self.look(around=looks % SURROUNDINGS_EVERY == 0)
            except (OdlError, TimeoutError) as error:  # the next look tries again; readiness tells the rest
                logger.debug("nothing seen: %s", error)
            looks += 1
            self._stop.wait(LOOK_EVERY_S)


def _sums(follower: Follower) -> Sums:
    return Sums.of(follower.fold.scores)


def _quality(seen: _Seen) -> Iterable[Metric]:
    helps = {
        "events": "Events that the scores are of",
        "accuracy": "Prequential accuracy",
        "log_loss": "Prequential log-loss, nats",
        "base_rate_accuracy": "Accuracy of always naming the most frequent class of these events",
        "base_rate_log_loss": "Log-loss of the label frequencies before each event, nats",
        "auc": "Prequential area under the ROC curve",
        "calibration_error": "Mean |predicted - observed| over ten groups of probability",
        "mae": "Prequential mean absolute error",
        "rmse": "Prequential root mean squared error",
    }
    found = {"window": seen.window.known(), "faded": seen.faded.known()}
    for name, help_text in helps.items():
        family = GaugeMetricFamily(f"odl_recent_{name}", f"{help_text}, of late", labels=["over"])
        for over, scores in found.items():
            if name in scores:
                family.add_metric([over], scores[name])
        yield family


def _distributions(seen: _Seen, metrics: PlaneMetrics) -> Iterable[Metric]:
    psi = GaugeMetricFamily(
        "odl_feature_psi", "Population stability index of a feature in what is asked", labels=["field"]
    )
    missing = GaugeMetricFamily(
        "odl_feature_missing_ratio", "Share of rows without a value", labels=["field"]
    )
    unseen = GaugeMetricFamily(
        "odl_feature_unseen_ratio", "Share of rows with a category that the reference lacks", labels=["field"]
    )
    for name, state in seen.inputs.items():
        psi.add_metric([name], state.psi)
        missing.add_metric([name], state.missing)
        unseen.add_metric([name], state.unseen)
    answered = GaugeMetricFamily(
        "odl_prediction_psi", "Population stability index of what is answered", labels=["of"]
    )
    for name, state in seen.outputs.items():
        answered.add_metric([name], state.psi)
    classes = GaugeMetricFamily("odl_predicted_class_ratio", "Share of answers by class", labels=["class"])
    for name, ratio in seen.classes.items():
        classes.add_metric([name], ratio)
    yield from (psi, missing, unseen, answered, classes)
    left_out = metrics.inputs.fields_left_out
    yield _gauge("features_left_out", "Fields beyond those whose distribution is looked at", left_out)


def _gauge(name: str, help_text: str, value: float | None) -> Metric:
    return GaugeMetricFamily(f"odl_{name}", help_text, value=value)
