"""What one event and one model cost, measured: processor time, memory, bytes in Redis."""

import gc
import time
import tracemalloc
from dataclasses import dataclass
from typing import Any

from log_parts.scene import CLASSES, FIELDS, PAPER, appends, events, median, new_log, server, spec_of, warm

from hedge_model import HedgeLearner
from odl.fold import Fold
from odl.log import Log

NUMBERS = {f"f{i}": "number" for i in range(FIELDS)}
MODELS: dict[str, dict[str, Any]] = {
    "paper 5x10": {"preset": "paper", "hidden_layers": 5, "width": 10},
    "default": {},
    "paper 20x100": PAPER,
    "default, 2^18 rows": {"hash_bits": 18, "fields": {**NUMBERS, "city": "category"}, "classes": CLASSES},
}
ROUNDS = 5  # of the fold, models in turns
RUN = 256  # entries folded together, as a replica that catches up does


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one model size."""

    fold_us: float  # processor time of a replica for one event: decode, check, learn, score
    predict_us: float  # processor time of one prediction, without HTTP
    memory_bytes: int  # of one learner's arrays and objects
    snapshot_bytes: int  # of its fold after the stream


def measure(size: float) -> tuple[dict[str, Costs], dict[str, float]]:
    """Costs by model size (in turns, medians of rounds), and what an event costs Redis."""
    count = max(int(8_000 * size), RUN)
    with server() as (_, client):
        log = new_log(client, "capacity")
        items = appends(events(count))
        before = client.info("cpu")
        for start in range(0, count, RUN):
            log.append_many(items[start : start + RUN])
        after = client.info("cpu")
        append_us = sum(after[key] - before[key] for key in ("used_cpu_sys", "used_cpu_user")) / count * 1e6
        stored = sum(int(client.memory_usage(key, samples=0) or 0) for key in client.scan_iter("*capacity*"))
        redis = {
            "Redis: processor per append, us": append_us,
            "Redis: bytes per event": stored / count,
            "event: canonical bytes": sum(len(item.payload) for item in items) / count,
        }
        rounds: dict[str, list[float]] = {name: [] for name in MODELS}
        for _ in range(ROUNDS):
            for name in MODELS:
                rounds[name].append(_fold_us(log, name, count))
    return {name: _costs(name, median(rounds[name])) for name in MODELS}, redis


def _fold_us(log: Log, name: str, count: int) -> float:
    warm(spec_of(**MODELS[name]))
    fold = Fold(HedgeLearner(spec_of(**MODELS[name])))
    entries = []
    while len(entries) < count:
        at = len(entries)
        entries += [entry for entry in log.read(at, RUN).entries if entry.version > at]
    started = time.process_time()
    for start in range(0, count, RUN):
        fold.take_all(entries[start : start + RUN])
    return (time.process_time() - started) / count * 1e6


def _costs(name: str, fold_us: float) -> Costs:
    spec = spec_of(**MODELS[name])
    gc.collect()
    tracemalloc.start()  # knows NumPy's arrays, too
    learner = warm(spec)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = [event.x for event in events(500)]
    started = time.process_time()
    for row in rows:
        learner.predict_one(row)
    predict_us = (time.process_time() - started) / len(rows) * 1e6
    return Costs(fold_us, predict_us, memory, len(Fold(learner).to_bytes()))
