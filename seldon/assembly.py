"""Putting a serving replica together: Redis, its guards, the learner, snapshots, the sink, the heartbeat."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack

import redis

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.golden import MachineDiffers, assert_golden
from odl.archive import Archive, archived_version
from odl.challenger import RedisChallengers
from odl.config import Config
from odl.drift_store import RedisDrifts
from odl.errors import Misconfigured, TooFarBehind
from odl.feedback import DirectSink, Sink
from odl.folder import Folder
from odl.redis_connection import check_server, connect
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions, predictions_of
from odl.redis_snapshots import RedisSnapshots
from odl.replica import Replica
from odl.replicas import RedisReplicas
from odl.snapshotter import Snapshotter
from seldon.access import Access
from seldon.deadline import Deadline
from seldon.drift_marks import DriftMarks
from seldon.fleet import Fleet
from seldon.guard import Guard
from seldon.heartbeat import Heartbeat
from seldon.limits import RateBound
from seldon.message import Json
from seldon.metrics import PlaneMetrics
from seldon.monitor import Facts, Monitor
from seldon.observed_log import ObservedLog
from seldon.plane import DataPlane
from seldon.service import Service
from seldon.surroundings import surroundings
from seldon.traces import Tracer, tracer_of
from streaming.join import Join

logger = logging.getLogger(__name__)

DIRECT = "direct"  # acknowledged feedback is as safe as Redis makes it


def open_service(
    config: Config,
    redis_url: str,
    kafka: str | None = None,
    *,
    url: str = "",
    access: Access | None = None,
) -> Service:
    """A running replica of the model in `config`, with its data plane.

    `kafka`: brokers; with them, feedback is acknowledged once Kafka has it, without them once Redis has.
    `url`: where this replica will be reached, for `odl status`; `access`: the tokens that it requires.
    Raises `Misconfigured` or `Unavailable` with one clear sentence when a setting or a server does not fit;
    nothing is left running then.
    """
    spec = _spec(config)
    deadline = Deadline()
    with ExitStack() as parts:
        client = connect(redis_url)
        parts.callback(lambda: _disconnect(client, deadline))
        log = _open_log(config, client, with_kafka=kafka is not None)
        sink = _sink(config, log, kafka, parts, deadline)
        predictions = predictions_of(config, client)
        metrics, tracer = PlaneMetrics(), tracer_of(os.environ)
        if tracer is not None:
            parts.callback(tracer.close)
        observed = _observed_log(config, client, predictions, metrics, tracer)
        replica = _replica(config, spec, observed, client, predictions, tracer)
        _check_fold(config, log, replica)
        replica.start()
        parts.callback(lambda: replica.stop(deadline.left_s()))
        replicas = RedisReplicas(client, config.name)
        snapshotter = Snapshotter(
            replica,
            RedisSnapshots(client, config.name),
            RedisLock(client, config.name),
            HedgeLearner.from_bytes,
            log,
            replicas,
            config.log.retain,
            _archived(config, log),
        )
        snapshotter.start()
        parts.callback(lambda: snapshotter.stop(deadline.left_s()))
        heartbeat = Heartbeat(replica, replicas, url)
        heartbeat.start()
        parts.callback(lambda: heartbeat.stop(deadline.left_s()))
        monitor = _monitor(config, client, replica, metrics)
        monitor.start()
        parts.callback(lambda: monitor.stop(deadline.left_s()))
        # The order of columns is what the model file says; the spec keeps its fields sorted.
        names = list(config.model.get("fields") or {})
        join = Join(log, predictions, config.feedback.corrections)
        return Service(
            config.name,
            replica,
            DataPlane(replica, sink, names=names, bound=_bound(config), log=log, join=join),
            parts.pop_all(),
            task=spec.task,
            fields=config.model.get("fields") or {},
            classes=spec.classes,
            greeting=_greeting(config, replica, kafka),
            guard=Guard(access, config.serve.open),
            deadline=deadline,
            metrics=metrics,
            tracer=tracer,
            dead_letters=_dead_letters(config, kafka) if kafka else None,
            fleet=Fleet(log, replicas, RedisDrifts(client, config.name)),
            log=None if replica.remembers else observed,
        )


def _observed_log(
    config: Config,
    client: redis.Redis,
    predictions: RedisPredictions | None,
    metrics: PlaneMetrics,
    tracer: Tracer | None,
) -> ObservedLog:
    """One of the replica alone, since predictions travel with what its thread reads."""
    return ObservedLog(
        client,
        config.name,
        ids_max=config.log.ids_max,
        predictions=predictions,
        metrics=metrics,
        tracer=tracer,
    )


def _replica(
    config: Config,
    spec: ModelSpec,
    log: ObservedLog,
    client: redis.Redis,
    predictions: RedisPredictions | None,
    tracer: Tracer | None,
) -> Replica:
    """One that is not started."""
    learner = tracer.learner(HedgeLearner) if tracer else HedgeLearner
    return Replica(
        lambda: learner(spec),
        learner.from_bytes,
        log,
        RedisSnapshots(client, config.name),
        predictions=predictions,
        learner_of=lambda other: learner(ModelSpec.from_dict(other)),
        settings=config.serve,
    )


def _monitor(config: Config, client: redis.Redis, replica: Replica, metrics: PlaneMetrics) -> Monitor:
    name = config.name
    log, snapshots = RedisLog(client, name), RedisSnapshots(client, name)
    lock, replicas = RedisLock(client, name), RedisReplicas(client, name)
    marks = DriftMarks(RedisDrifts(client, name), RedisChallengers(client, name))
    metrics.add(marks)

    def facts() -> Facts:
        marks.look()
        return surroundings(client, log, snapshots, lock, replicas, replica.replica_id)

    monitor = Monitor(replica, metrics, facts)
    metrics.add(monitor)
    return monitor


def _disconnect(client: redis.Redis, deadline: Deadline) -> None:
    # A connection that is closed under a thread which waits for its answer breaks that thread inside
    # redis-py; beyond the deadline such threads end with the process.
    if not deadline.is_over:
        client.close()


def _dead_letters(config: Config, kafka: str) -> Callable[[], Json]:
    from streaming.connection import options_of
    from streaming.letter_page import letter_page

    topic, options = config.kafka.dead_letter_topic, options_of(os.environ)
    return lambda: letter_page(kafka, topic, options)


def _archived(config: Config, log: RedisLog) -> Callable[[], int] | None:
    """Up to which version the log is archived; None where nothing is."""
    if not config.log.archive:
        return None
    store = Archive(Folder(config.log.archive))
    return lambda: archived_version(log, store)


def _bound(config: Config) -> RateBound | None:
    per_second = config.serve.feedback_per_second_max
    return None if per_second is None else RateBound(per_second, config.serve.feedback_burst_max)


def _greeting(config: Config, replica: Replica, kafka: str | None) -> str:
    kept = f"durable (Kafka topic {config.kafka.topic})" if kafka else f"{DIRECT} (Redis)"
    try:
        where = f"version {replica.predict([]).result().version}"
    except TooFarBehind:
        where = "catching up"
    return f"model '{config.name}', {where}, feedback {kept},"


def _spec(config: Config) -> ModelSpec:
    try:
        assert_golden()
    except MachineDiffers as error:
        raise Misconfigured(str(error)) from error
    try:
        return ModelSpec.from_dict(config.model)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"[model] of '{config.name}': {error}") from error


def _open_log(config: Config, client: redis.Redis, *, with_kafka: bool) -> RedisLog:
    always = config.log.require_fsync_always
    facts = check_server(client, require_fsync_always=not with_kafka if always is None else always)
    for warning in facts.warnings:
        logger.warning("%s", warning)
    log = RedisLog(client, config.name, ids_max=config.log.ids_max)
    head = log.create()
    if config.log.log_id and head.log_id != config.log.log_id:
        raise Misconfigured(
            f"expected the log {config.log.log_id} of '{config.name}', Redis holds {head.log_id}: "
            "correct --redis, or log_id in the model file"
        )
    return log


def _check_fold(config: Config, log: RedisLog, replica: Replica) -> None:
    """The first replica makes the log its fold's; one of another fold must not serve it."""
    recorded = log.claim(replica.fold_id).fold_id
    if recorded != replica.fold_id:
        raise Misconfigured(
            f"the log of '{config.name}' belongs to fold {recorded}, this model file and release make fold "
            f"{replica.fold_id}: start the ones it was made with, or hand the log over with `odl adopt`"
        )


def _sink(config: Config, log: RedisLog, kafka: str | None, parts: ExitStack, deadline: Deadline) -> Sink:
    if kafka is None:
        return DirectSink(log, DIRECT)
    from streaming.connection import check_broker, options_of
    from streaming.producer import FeedbackProducer, KafkaSink

    options = options_of(os.environ)
    check_broker(kafka, options=options)
    producer = FeedbackProducer(kafka, config.kafka.topic, options=options)
    parts.callback(lambda: producer.close(deadline.left_s()))
    return KafkaSink(producer)
