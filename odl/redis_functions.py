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
# A script that says nothing of itself is refused while memory is full. What grows with events shall be. The
# others change a few fields in place, and a full server needs them: trimming takes the version lock, and
# replicas beat, set the log's limit and find their history while appends are refused.
_GROWING = ("append", "append_control", "remember")


def script_names() -> list[str]:
    """The scripts in `odl/lua`, sorted."""
    folder = files("odl").joinpath("lua")
    return sorted(
        entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua")
    )


def source_of(name: str) -> bytes:
    """One script as EVAL takes it: its flags, and what is in its file.

    >>> source_of("acquire").partition(b"\\n")[0]
    b'#!lua flags=allow-oom'
    """
    flag = _flag(name)
    return (f"#!lua flags={flag}\n" if flag else "").encode() + _body(name)


def _flag(name: str) -> str:
    return "no-writes" if name == "read" else "" if name in _GROWING else "allow-oom"


def _body(name: str) -> bytes:
    return files("odl").joinpath("lua", f"{name}.lua").read_bytes()


@cache
def version() -> str:
    """Digest of all scripts with their flags, short.

    >>> len(version())
    12
    """
    sources = b"".join(name.encode() + b"\0" + source_of(name) for name in script_names())
    return hashlib.sha256(sources).hexdigest()[:12]


def function_name(name: str) -> str:
    """What FCALL calls the script `name`."""
    return f"odl_{name}_{version()}"


def library() -> str:
    """What `FUNCTION LOAD` takes; begins with the name of the library."""
    parts = [f"#!lua name=odl_{version()}\n"]
    for name in script_names():
        flags = f"'{_flag(name)}'" if _flag(name) else ""
        parts.append(
            f"local function {name}(KEYS, ARGV)\n{_body(name).decode()}\nend\n"
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
