"""A Lua script kept as a file in `odl/lua`, run by its digest; what Redis errors mean to a caller."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import redis

from odl.errors import HistoryLost, Unavailable
from odl.redis_functions import function_name, source_of
from odl.redis_lines import Lines, Loan, pack

Argument: TypeAlias = str | bytes | int
Answer = TypeVar("Answer")

OF_EVERY_REQUEST = ("append", "read")  # of feedback and of predictions: worth connections of their own

# What a server may be able to do later: no memory, read-only, starting, disk full, failing over.
_LATER = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.NoScriptError,  # flushed in the middle of a pipeline
)
_LATER_CODES = ("MISCONF", "NOREPLICAS", "BUSY", "LOADING", "NOAUTH", "WRONGPASS")
# What a user may not run in a script fails the whole script, under several wordings.
_FORBIDDEN_CODES = ("ACL failure in script", "The user executing the script")
_NO_FUNCTION = "Function not found"
# A key of the log is of another kind, or its stream holds later entries than the head knows.
_DAMAGE_CODES = ("WRONGTYPE", "The ID specified in XADD")


class RedisScript:
    """One script for one client. A user that may not run scripts runs the function of the same source, which
    an administrator loaded (`odl.redis_functions`)."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._source = source_of(name)
        self._function = function_name(name)
        self._by_function = False  # whether this user was refused EVALSHA
        self._sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()
        self._client = client
        self._lines = Lines(client) if name in OF_EVERY_REQUEST else None
        self._execute: Callable[..., Any] = self._lines.execute if self._lines else client.execute_command

    def run(self, keys: Sequence[str], arguments: Sequence[Argument], *, repeatable: bool) -> Any:
        """The script's answer; `repeatable` when running it twice leaves the same state as once."""
        tail = (len(keys), *keys, *arguments)
        return _reach(self._client, lambda: self._evaluate(tail), repeatable=repeatable)

    def begin(
        self, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> tuple[Callable[[], Any], Callable[[], None]]:
        """Send a script of every request, which is safe to repeat. What fetches its answer (once; where that
        goes wrong the script is run anew), and what gives up on it instead."""
        assert self._lines is not None
        try:
            sent = self._lines.begin(*self._command(keys, arguments))
        except redis.exceptions.RedisError:
            return lambda: self.run(keys, arguments, repeatable=True), lambda: None

        def answer() -> Any:
            try:
                return sent.reply()
            except redis.exceptions.RedisError:
                return self.run(keys, arguments, repeatable=True)

        return answer, sent.drop

    def run_many(self, keys: Sequence[str], arguments: Sequence[Sequence[Argument]]) -> list[Any]:
        """The answers of one run for each list of arguments, in order, in one round trip: not a transaction,
        and repeatable. Of a script of every request. Raises `Unavailable` when any of them failed; the others
        may have run."""
        return _reach(self._client, lambda: self._evaluate_many(keys, arguments), repeatable=True)

    def packed(self, keys: Sequence[str], arguments: Sequence[Argument]) -> bytes:
        """What runs the script on a server that has it, as it travels: for connections of one's own."""
        return pack(*self._command(keys, arguments))

    def _evaluate(self, tail: tuple[Argument, ...]) -> Any:
        if not self._by_function:
            try:
                return self._execute("EVALSHA", self._sha, *tail)
            except redis.exceptions.NoScriptError:
                with contextlib.suppress(redis.exceptions.NoPermissionError):
                    return self._execute("EVAL", self._source, *tail)
            except redis.exceptions.NoPermissionError:
                pass  # and nothing was run
        answer = self._execute("FCALL", self._function, *tail)
        self._by_function = True
        return answer

    def _evaluate_many(self, keys: Sequence[str], arguments: Sequence[Sequence[Argument]]) -> list[Any]:
        if not self._by_function:
            # The first one carries the source: then a server that has just restarted knows the digest, too.
            with contextlib.suppress(redis.exceptions.NoPermissionError):
                return self._pipeline(("EVAL", self._source), ("EVALSHA", self._sha), keys, arguments)
        answers = self._pipeline(("FCALL", self._function), ("FCALL", self._function), keys, arguments)
        self._by_function = True
        return answers

    def _pipeline(
        self,
        first: tuple[str, str | bytes],
        others: tuple[str, str | bytes],
        keys: Sequence[str],
        arguments: Sequence[Sequence[Argument]],
    ) -> list[Any]:
        assert self._lines is not None
        commands = [
            (*(others if number else first), len(keys), *keys, *each) for number, each in enumerate(arguments)
        ]
        return _without_errors(self._lines.execute_many(commands))

    def _command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> tuple[Argument, ...]:
        """What runs the script on a server that has it."""
        how = ("FCALL", self._function) if self._by_function else ("EVALSHA", self._sha)
        return *how, len(keys), *keys, *arguments


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script that is yet to be made; safe to repeat."""

    script: RedisScript
    keys: Sequence[str]
    arguments: Sequence[Argument]

    def run(self) -> Any:
        """The script's answer."""
        return self.script.run(self.keys, self.arguments, repeatable=True)


def run_together(client: redis.Redis, aside: Sequence[Call], last: Call) -> tuple[list[Any], Any]:
    """The answers of `aside`, then of `last`, in one round trip: not a transaction. What failed of `aside`
    has its error in place of an answer. Raises what `last` raises."""

    def execute() -> list[Any]:
        with client.pipeline(transaction=False) as pipeline:
            queue: Callable[..., Any] = pipeline.execute_command
            for call in (*aside, last):
                queue(*call.script._command(call.keys, call.arguments))
            return list(pipeline.execute(raise_on_error=False))

    *beside, answer = _reach(client, execute, repeatable=True)
    # A server that has restarted knows no digests, and some users may run functions only: `run` sees to both.
    unknown = (redis.exceptions.NoScriptError, redis.exceptions.NoPermissionError)
    for at, (call, reply) in enumerate(zip(aside, beside, strict=True)):
        if isinstance(reply, unknown):
            try:
                beside[at] = call.run()
            except Unavailable as error:
                beside[at] = error
    if isinstance(answer, unknown):
        answer = last.run()
    if isinstance(answer, redis.exceptions.RedisError):
        raise as_odl_error(answer, client) from answer
    return beside, answer


def lend(client: redis.Redis) -> Loan:
    """A connection to a server that is there. Blocks. Raises `Unavailable`."""
    return _reach(client, lambda: Loan(client), repeatable=True)


def transact(client: redis.Redis, *commands: tuple[str | bytes, ...]) -> list[Any]:
    """The answers of `commands`, all of one moment (MULTI … EXEC); they must be safe to repeat."""

    def execute() -> list[Any]:
        with client.pipeline(transaction=True) as pipeline:
            queue: Callable[..., Any] = pipeline.execute_command
            for command in commands:
                queue(*command)
            return _without_errors(pipeline.execute(raise_on_error=False))

    return _reach(client, execute, repeatable=True)


def _without_errors(replies: list[Any]) -> list[Any]:
    # redis-py, raising by itself, would quote whole commands, payloads included.
    for reply in replies:
        if isinstance(reply, redis.exceptions.RedisError):
            raise reply
    return replies


def _reach(client: redis.Redis, call: Callable[[], Answer], *, repeatable: bool) -> Answer:
    """What `call` returns, Redis errors translated.

    After a broken connection nobody knows whether the server acted. What leaves the same state when done
    twice is sent again, once: a restarted server, or a proxy that closes idle connections, then goes
    unnoticed. Timeouts are not repeated: the caller has waited long enough.
    """
    try:
        return call()
    except redis.exceptions.RedisError as error:
        if not (repeatable and isinstance(error, redis.exceptions.ConnectionError)):
            raise as_odl_error(error, client) from error
    try:
        return call()
    except redis.exceptions.RedisError as error:
        raise as_odl_error(error, client) from error


def address_of(client: redis.Redis) -> str:
    """Where a client connects to, for people to read; never a password."""
    settings = client.get_connection_kwargs()
    if "path" in settings:
        return f"unix:{settings['path']}"
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def as_odl_error(error: redis.exceptions.RedisError, client: redis.Redis) -> Exception:
    """What a Redis error means: try later, the history is damaged, or a bug (the error itself)."""
    where, text = f"Redis at {address_of(client)}", str(error)
    if isinstance(error, redis.exceptions.TimeoutError):
        return Unavailable(f"{where} did not answer in time: {text}")
    if isinstance(error, redis.exceptions.ConnectionError):
        return Unavailable(f"{where} cannot be reached: {text}")
    if text.startswith(_NO_FUNCTION):
        return Unavailable(
            f"{where} lets this user run functions only and does not have odl's: an administrator loads them "
            "by `odl rights --functions | redis-cli -x FUNCTION LOAD`"
        )
    if isinstance(error, _LATER) or text.startswith((*_LATER_CODES, *_FORBIDDEN_CODES)):
        return Unavailable(f"{where} refuses at the moment: {text}")
    if text.startswith(_DAMAGE_CODES):
        return HistoryLost(f"{where} holds keys that do not fit this log, restore a backup: {text}")
    return error
