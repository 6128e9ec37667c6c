"""What the service's user in Redis needs: the Lua scripts as a library of functions, and the least rights.

A user that may run EVAL may run any script. Functions are loaded once, by an administrator; they survive
restarts and failovers, and the service's user can neither change them nor add others. Their names carry the
digest of the whole library, so that two versions of odl can share a server during an upgrade.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files

from odl.redis_keys import RedisKeys

# Beside what the functions call, since Redis checks a user's rights in functions, too.
_DIRECT = ("fcall", "multi", "exec", "discard", "ping", "info", "time")
_DIRECT_ON_KEYS = ("get", "hget", "hgetall", "hmget", "hset", "pexpire", "unlink", "zrange")
# A function is refused while memory is full unless it says that it only reads, or is meant to run then:
# trimming frees memory, locks are given back, and a replica that starts finds its log.
_FLAGS = {
    "read": "no-writes",
    "trim": "allow-oom",
    "release": "allow-oom",
    "renew": "allow-oom",
    "create": "allow-oom",
}


def script_names() -> list[str]:
    """The scripts in `odl/lua`, sorted."""
    folder = files("odl").joinpath("lua")
    return sorted(
        entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua")
    )


def source_of(name: str) -> bytes:
    """One script as it is in its file."""
    return files("odl").joinpath("lua", f"{name}.lua").read_bytes()


@cache
def version() -> str:
    """Digest of all scripts and their flags, short.

    >>> len(version())
    12
    """
    sources = b"".join(name.encode() + b"\0" + source_of(name) for name in script_names())
    return hashlib.sha256(sources + repr(sorted(_FLAGS.items())).encode()).hexdigest()[:12]


def function_name(name: str) -> str:
    """What FCALL calls the script `name`."""
    return f"odl_{name}_{version()}"


def library() -> str:
    """What `FUNCTION LOAD` takes; begins with the name of the library."""
    parts = [f"#!lua name=odl_{version()}\n"]
    for name in script_names():
        flags = f"'{_FLAGS[name]}'" if name in _FLAGS else ""
        parts.append(
            f"local function {name}(KEYS, ARGV)\n{source_of(name).decode()}\nend\n"
            f"redis.register_function{{function_name='{function_name(name)}', callback={name}, "
            f"flags={{{flags}}}}}\n"
        )
    return "".join(parts)


def acl_rules(name: str) -> list[str]:
    """The rules of a Redis user that serves the model `name` and can do nothing else: functions, plain
    commands on the model's own keys, and INFO, by which a server's settings are checked. CONFIG GET is not
    among them, since it tells passwords.

    >>> acl_rules("flights")[:4]
    ['resetchannels', 'resetkeys', '~{odl:flights}:*', '-@all']
    """
    called = {word.lower() for word in re.findall(r"""call\('([A-Z]+)'""", library())}
    commands = sorted(called.union(_DIRECT, _DIRECT_ON_KEYS))
    keys = f"~{RedisKeys(name).prefix}*"
    return ["resetchannels", "resetkeys", keys, "-@all", *(f"+{command}" for command in commands)]
