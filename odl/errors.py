"""Every error of odl, with what a caller should do about it.

OdlError
├── InvalidEvent       the client sent something that cannot be learned or predicted (4xx, dead letter)
├── Misconfigured      refuse to start: a setting or a server does not fit (exit code 2)
├── Unavailable        Redis or Kafka cannot be reached now (503, Retry-After)
│   ├── TooFarBehind   the replica could not reach the newest version before the deadline
│   ├── OtherFold      the log was handed to another arithmetic; this replica must not answer
│   ├── LogFull        backpressure: the log takes no further entry for the moment
│   └── LogMissing     the server answers, but the log is gone (FLUSHALL, a fresh server)
├── HistoryLost        the log no longer continues the history that was learned
├── Fenced             a newer holder of the version lock exists; this write was refused
├── Superseded         the log is no longer as it was when somebody decided to change its meaning
└── DamagedSnapshot    stored bytes do not have the digest that was recorded for them
"""


class OdlError(Exception):
    """Base of every error that odl raises on purpose."""


class InvalidEvent(OdlError):
    """An event or request that cannot be accepted; the message is one clear sentence for its sender."""

    def __init__(
        self, message: str, *, status: int = 400, reason: str = "INVALID", retry_after_s: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status  # HTTP status, 400 to 499
        self.reason = reason  # machine-readable, SCREAMING_SNAKE
        self.retry_after_s = retry_after_s  # 0: trying again does not help


class Misconfigured(OdlError):
    """A setting or a server that does not fit; the process refuses to start."""


class Unavailable(OdlError):
    """A server that is needed cannot be reached at the moment; try again after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooFarBehind(Unavailable):
    """The newest version could not be reached before the caller's deadline."""


class OtherFold(Unavailable):
    """The log belongs to another fold id than this replica's: its numbers would be another model's."""


class LogFull(Unavailable):
    """The log takes no entries at the moment: a replica is too far behind, snapshots are missing, or the
    server's memory is nearly full."""


class LogMissing(Unavailable):
    """The server answers but holds no log under this name."""


class HistoryLost(OdlError):
    """The log does not continue the history that was learned: entries were lost or replaced."""


class Fenced(OdlError):
    """A newer fencing token was issued, so this write under the version lock was refused."""


class Superseded(OdlError):
    """A promotion or rollback was decided on a log that has another control entry, or history, by now."""


class DamagedSnapshot(OdlError):
    """Snapshot bytes that do not match their recorded digest."""
