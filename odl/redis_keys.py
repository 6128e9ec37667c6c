"""Names of the Redis keys of one model; one hash tag, so that a cluster keeps them on one node.

>>> RedisKeys("flights").log
'{odl:flights}:log'
"""

import re

from odl.errors import Misconfigured

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # braces would move the hash tag


class RedisKeys:
    """The keys of the model `name`. Raises `Misconfigured` for a name that cannot be one."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise Misconfigured(
                f"expected a model name of 1 to 100 letters, digits, '_', '.' or '-', received {name!r}"
            )
        self.prefix = prefix = f"{{odl:{name}}}:"
        self.head = prefix + "head"  # hash: version, chain, epoch, log_id, generations of ids, counters
        self.log = prefix + "log"  # stream, id '<version>-0': p payload, c chain
        self.sources = prefix + "sources"  # hash: source -> stored position
        self.seen = (prefix + "seen:0", prefix + "seen:1")  # hashes: event id -> version
        self.lock = prefix + "lock"  # string 'token owner', expires
        self.fence = prefix + "fence"  # hash: token and owner of the newest lease
        self.snapshots = prefix + "snapshots"  # sorted set of JSON records, by order of commit
        self.replicas = prefix + "replicas"  # hash: id -> 'ends_ms record'
        self.drift = prefix + "drift"  # hash: 'record' -> JSON document
        self.challengers = prefix + "challengers"  # hash: name -> JSON record

        # meta hash, then slots: hashes, prediction id -> 'stored_ms record', see lua/remember.lua
        self.remembered = tuple(f"{prefix}remembered{part}" for part in ("", *(f":{n}" for n in range(9))))

    def blob(self, blob_id: str) -> str:
        """The key of a snapshot's bytes: a hash, number of the piece -> piece."""
        return f"{self.prefix}snapshot:{blob_id}"
