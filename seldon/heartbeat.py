"""The heartbeat of a serving replica: once a second it tells Redis where it stands, for `odl status`."""

import logging
import threading
import time

from odl.errors import OdlError
from odl.replica import Replica
from odl.replicas import ReplicaRecord, Replicas

EVERY_S = 1.0
TTL_MS = 5_000  # gone after five beats that were missed
GONE_MS = 1

logger = logging.getLogger(__name__)


class Heartbeat:
    """Beats in a thread of its own. Stop it before its replica."""

    def __init__(self, replica: Replica, replicas: Replicas, url: str) -> None:
        self._replica = replica
        self._replicas = replicas
        self._url = url
        self._version = -1  # at the last beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat now and then once a second."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Say goodbye and end the thread; wait so long for both. Others forget a replica after five seconds
        without a beat anyway."""
        self._stop.set()
        self._thread.join(timeout_s)

    def beat(self, ttl_ms: int = TTL_MS) -> None:
        """One beat. Raises `Unavailable` or `TimeoutError`."""
        # Hashing a large learner takes the replica's thread milliseconds, so not while it is learning.
        idle = self._replica.health().version == self._version
        status = self._replica.status(digest=idle)
        self._version = status.version
        record = ReplicaRecord(
            id=status.replica_id,
            version=status.version,
            epoch=status.epoch,
            chain=status.chain,
            digest=status.digest,
            fold_id=status.fold_id,
            url=self._url,
            time_ms=time.time_ns() // 1_000_000,
            confirmed=self._replica.confirmed,
            joined=self._replica.has_joined,
        )
        self._replicas.beat(record, ttl_ms)

    def _run(self) -> None:
        self._try(TTL_MS)
        while not self._stop.wait(EVERY_S):
            self._try(TTL_MS)
        self._try(GONE_MS)

    def _try(self, ttl_ms: int) -> None:
        try:
            self.beat(ttl_ms)
        except (OdlError, TimeoutError) as error:  # the next beat tries again; readiness tells the rest
            logger.debug("no heartbeat: %s", error)
