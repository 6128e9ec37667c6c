"""What predictions feel of snapshots: a replica of the 0.8 MB network serves and learns, with and without."""

import threading
import time

from hedge_model import HedgeLearner
from log_parts.scene import PAPER, PATIENT, appends, events, new_log, percentile, server, spec_of, warm
from odl.redis_lock import RedisLock
from odl.redis_snapshots import RedisSnapshots
from odl.replica import Replica
from odl.snapshotter import save_now

PHASES = 4  # of each kind, in turns
SAVE_EVERY_S = 0.5  # far more often than a replica does


def measure(size: float) -> dict[str, float]:
    """Predictions one after the other, with an event appended before every tenth; while the phases with
    snapshots last, another thread saves one every half second."""
    count = max(int(2_500 * size), 10)
    spec = spec_of(**PAPER)
    warm(spec)
    stream = events(2 * PHASES * count)
    items = appends(stream)
    spent: dict[bool, list[float]] = {True: [], False: []}
    saved = 0
    with server() as (_, client):
        log, lock, store = new_log(client, "s"), RedisLock(client, "s"), RedisSnapshots(client, "s")
        with Replica(
            lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, store, settings=PATIENT
        ) as replica:
            for phase in range(2 * PHASES):
                with_snapshots = phase % 2 == 1
                done = threading.Event()

                def save(done: threading.Event = done) -> None:
                    nonlocal saved
                    while True:
                        saved += save_now(replica, store, lock, HedgeLearner.from_bytes) is not None
                        if done.wait(SAVE_EVERY_S):
                            return

                saver = threading.Thread(target=save)
                if with_snapshots:
                    saver.start()
                for number in range(phase * count, (phase + 1) * count):
                    if number % 10 == 0:
                        log.append(items[number])
                    start = time.perf_counter()
                    replica.predict([stream[number].x]).result()
                    spent[with_snapshots].append(time.perf_counter() - start)
                done.set()
                if with_snapshots:
                    saver.join()
    without, during = percentile(spent[False], 0.99), percentile(spent[True], 0.99)
    return {
        "predict without snapshots, p50, us": percentile(spent[False], 0.5) * 1e6,
        "predict without snapshots, p99, us": without * 1e6,
        "predict with a snapshot every 0.5 s, p50, us": percentile(spent[True], 0.5) * 1e6,
        "predict with a snapshot every 0.5 s, p99, us": during * 1e6,
        "snapshots taken meanwhile": float(saved),
        "p99 of predict: with over without (goal 2)": during / without,
    }
