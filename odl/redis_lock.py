"""The version lock in Redis: a key that expires by the server's clock, and a token that only grows."""

import redis

from odl.lock import Lease, check_ttl, ended
from odl.redis_keys import RedisKeys
from odl.redis_script import RedisScript, transact


class RedisLock:
    """The `VersionLock` of the model `name`. Raises `Unavailable` when Redis is out of reach.

    The newest grant stays in the key `fence` after the lock has expired; a fenced script compares token and
    owner with it. The owner counts too: a server that lost its tail may grant a token a second time.
    """

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client = client
        self._keys = RedisKeys(name)
        self._acquire = RedisScript(client, "acquire")
        self._renew = RedisScript(client, "renew")
        self._release = RedisScript(client, "release")

    def acquire(self, owner: str, ttl_ms: int) -> Lease | None:
        check_ttl(ttl_ms)
        # Sent once: a second try would find the lock held by the first, whose token nobody knows.
        keys = (self._keys.lock, self._keys.fence)
        token = self._acquire.run(keys, (owner, ttl_ms), repeatable=False)
        return None if token is None else Lease(owner, int(token))

    def renew(self, lease: Lease, ttl_ms: int) -> None:
        check_ttl(ttl_ms)
        if not self._renew.run((self._keys.lock,), (_value(lease), ttl_ms), repeatable=True):
            raise ended(lease)

    def release(self, lease: Lease) -> None:
        self._release.run((self._keys.lock,), (_value(lease),), repeatable=True)

    def holder(self) -> Lease | None:
        [value] = transact(self._client, ("GET", self._keys.lock))
        if value is None:
            return None
        token, _, owner = value.decode().partition(" ")
        return Lease(owner, int(token))


def _value(lease: Lease) -> str:
    return f"{lease.token} {lease.owner}"
