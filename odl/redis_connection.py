"""Connecting to Redis, and refusing a server that would lose or evict what the log relies on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from odl.errors import Misconfigured
from odl.redis_script import address_of, as_odl_error

TIMEOUT_S = 5.0  # longer than any of our scripts by far; a server that is silent for so long is away


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server said of itself at start."""

    address: str  # host:port, never a password
    product: str  # "valkey 9.1.0", "redis 7.0.15"
    memory_max_bytes: int  # 0: no limit
    appendonly: bool  # writes go to a file
    appendfsync: str | None  # "always", "everysec", "no"; None: the server does not tell
    warnings: tuple[str, ...]  # what could not be checked, one sentence each


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """A client of the server at `url` (redis://, rediss://, unix://); nothing is sent yet.

    The client never repeats a command by itself, since redis-py cannot know which ones may run twice
    (`odl.redis_script` does). It answers bytes, and is safe to share between threads.

    >>> connect("redis://:secret@127.0.0.1:6390/0").get_connection_kwargs()["port"]
    6390
    """
    try:
        return redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            health_check_interval=0,
            protocol=2,  # nothing here needs RESP3, and every server, proxy and fake knows RESP2
        )
    except ValueError:
        # Neither the URL nor the cause is shown: both may hold a piece of a password.
        raise Misconfigured(
            "expected a Redis URL such as redis://[user:password@]host:6379/0, received one that cannot be "
            "read: percent-encode special characters in the password"
        ) from None


def complete_url(url: str, environment: Mapping[str, str]) -> str:
    """`url` with the secrets and files that the environment names, which thereby stay out of command lines:
    `ODL_REDIS_USER`, `ODL_REDIS_PASSWORD` or `ODL_REDIS_PASSWORD_FILE`; for rediss:// also the PEM files
    `ODL_REDIS_CA` (of the server's authority), `ODL_REDIS_CERT`, `ODL_REDIS_KEY` (of this client). What the
    URL says itself stays. Raises `Misconfigured`.

    >>> complete_url("redis://db:6379/0", {"ODL_REDIS_USER": "odl", "ODL_REDIS_PASSWORD": "a/b"})
    'redis://odl:a%2Fb@db:6379/0'
    >>> complete_url("rediss://db", {"ODL_REDIS_CA": "/etc/ca.pem"})
    'rediss://db?ssl_ca_certs=%2Fetc%2Fca.pem'
    """
    try:
        parts = urlsplit(url)
        has_credentials = parts.username is not None or parts.password is not None
    except ValueError:
        return url  # `connect` refuses it
    user, password = environment.get("ODL_REDIS_USER", ""), _password(environment)
    if (user or password) and not has_credentials:
        netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
        parts = parts._replace(netloc=netloc)
    files = {
        "ssl_ca_certs": environment.get("ODL_REDIS_CA"),
        "ssl_certfile": environment.get("ODL_REDIS_CERT"),
        "ssl_keyfile": environment.get("ODL_REDIS_KEY"),
    }
    named = {name: path for name, path in files.items() if path and name not in parse_qs(parts.query)}
    if named and parts.scheme != "rediss":
        raise Misconfigured(
            "expected a Redis URL that begins with rediss:// (TLS), since ODL_REDIS_CA, ODL_REDIS_CERT or "
            "ODL_REDIS_KEY is set"
        )
    query = "&".join(filter(None, (parts.query, urlencode(named))))
    return urlunsplit(parts._replace(query=query))


def has_password(url: str) -> bool:
    """Whether a URL shows a password to whoever sees it."""
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        return "@" in url


def _password(environment: Mapping[str, str]) -> str:
    path = environment.get("ODL_REDIS_PASSWORD_FILE")
    if not path:
        return environment.get("ODL_REDIS_PASSWORD", "")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the file of ODL_REDIS_PASSWORD_FILE cannot be read: {error}") from error


def check_server(client: redis.Redis, require_fsync_always: bool) -> ServerFacts:
    """What the server is, if the log can rely on it.

    `require_fsync_always`: feedback is acknowledged once Redis has it (no Kafka), so a write must be on disk
    before it is answered; with Kafka an append-only file is enough. Raises `Misconfigured` with what to
    change, `Unavailable` when there is no answer.
    """
    address = address_of(client)
    info = _info(client)
    settings = _settings(client, info)
    facts = ServerFacts(
        address=address,
        product=_product(info),
        memory_max_bytes=int(settings["maxmemory"]),
        appendonly=settings["appendonly"] == "yes",
        appendfsync=settings.get("appendfsync"),
        warnings=_warnings(settings, address, require_fsync_always),
    )
    if info.get("role") not in (None, "master"):
        raise Misconfigured(f"Redis at {address} is a read-only replica: give the address of its primary")
    if settings["maxmemory-policy"] != "noeviction":
        raise Misconfigured(
            f"Redis at {address} may evict the log (maxmemory-policy {settings['maxmemory-policy']}): "
            "run `CONFIG SET maxmemory-policy noeviction` and put it into its configuration"
        )
    if not facts.appendonly:
        raise Misconfigured(
            f"Redis at {address} would lose the log in a crash (appendonly no): "
            "run `CONFIG SET appendonly yes` and put it into its configuration"
        )
    if require_fsync_always and facts.appendfsync not in (None, "always"):
        raise Misconfigured(
            f"Redis at {address} may lose feedback that was acknowledged (appendfsync {facts.appendfsync}): "
            "run `CONFIG SET appendfsync always` and put it into its configuration, or configure Kafka"
        )
    return facts


def _info(client: redis.Redis) -> dict[str, Any]:
    try:
        return dict(client.info())
    except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise Misconfigured(f"Redis at {address_of(client)} refuses this user: {error}") from error
    except redis.exceptions.RedisError as error:
        raise as_odl_error(error, client) from error


def _settings(client: redis.Redis, info: dict[str, Any]) -> dict[str, str]:
    """The settings that matter, from CONFIG, else (managed servers, ACL) what INFO tells of them."""
    names = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync")
    try:
        settings = dict(client.config_get(*names))
    except redis.exceptions.ResponseError:  # forbidden or renamed
        settings = {}
    except redis.exceptions.RedisError as error:
        raise as_odl_error(error, client) from error
    told = {
        "maxmemory": str(info.get("maxmemory", 0)),
        "maxmemory-policy": str(info.get("maxmemory_policy", "")),
        "appendonly": "yes" if info.get("aof_enabled") else "no",
    }
    found = told | {str(name): str(value) for name, value in settings.items()}
    if not found["maxmemory-policy"]:
        raise Misconfigured(
            f"Redis at {address_of(client)} tells neither by CONFIG nor by INFO whether it evicts keys: "
            "allow this user `CONFIG|GET` or `INFO`"
        )
    return found


def _warnings(settings: dict[str, str], address: str, require_fsync_always: bool) -> tuple[str, ...]:
    warnings = []
    if "appendfsync" not in settings and require_fsync_always:
        warnings.append(
            f"Redis at {address} does not tell its appendfsync: unless that is 'always', a crash may lose "
            "feedback that was acknowledged"
        )
    return tuple(warnings)


def _product(info: dict[str, Any]) -> str:
    name = info.get("server_name", "redis")
    return f"{name} {info.get(f'{name}_version') or info.get('redis_version', '')}".strip()
