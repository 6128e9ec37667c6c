"""Connections that stay in hand between two commands, for the few scripts that run for every request.

Through redis-py's pool and command machinery a script costs the client as much time as its round trip; over a
connection that is at hand it costs little more than the same bytes on a bare socket.
"""

import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import redis

Command: TypeAlias = tuple[str | bytes | int, ...]


class Lines:
    """Runs commands over connections of a client's pool that it keeps. Safe to use from many threads: there
    are as many as commands that ran at once. They close with the client."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()  # the most recently used last

    def execute(self, *command: str | bytes | int) -> Any:
        """The reply. Raises redis-py's errors; after one that leaves the connection in doubt, the next
        command has one that the pool has looked at, since the others are likely to be as dead."""
        return self._reply(self._sent(command))

    def execute_many(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order, redis-py's errors about single commands among them, in one round trip: not a
        transaction. Raises what leaves the connection in doubt."""
        connection, replies = self._sent(*commands), list[Any]()
        try:
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.exceptions.ResponseError as error:
                    replies.append(error)
        except BaseException:
            self._close(connection)
            raise
        self._idle.append(connection)
        return replies

    def begin(self, *command: str | bytes | int) -> "Sent":
        """Send a command whose reply is fetched later, over a connection that nobody else has till then."""
        return Sent(self, self._sent(command))

    def _sent(self, *commands: Command) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            packed = b"".join([pack(*command) for command in commands])
            connection.send_packed_command([packed], check_health=False)
        except BaseException:
            self._close(connection)
            raise
        return connection

    def _reply(self, connection: Any) -> Any:
        try:
            reply = connection.read_response()
        except redis.exceptions.ResponseError:  # an answer, too
            self._idle.append(connection)
            raise
        except BaseException:
            self._close(connection)
            raise
        self._idle.append(connection)
        return reply

    def _close(self, connection: Any) -> None:
        self._give_back(connection)
        while self._idle:
            self._give_back(self._idle.pop())

    def _give_back(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


class Sent:
    """A command whose reply nobody has fetched yet."""

    def __init__(self, lines: Lines, connection: Any) -> None:
        self._lines = lines
        self._connection: Any = connection

    def reply(self) -> Any:
        """As `Lines.execute`; once."""
        connection, self._connection = self._connection, None
        return self._lines._reply(connection)

    def drop(self) -> None:
        """Give up on a reply that was not fetched, and its connection."""
        if self._connection is not None:
            self._lines._give_back(self._connection)
            self._connection = None


class Loan:
    """A connection of a client's pool, logged in, whose socket somebody else uses: an event loop."""

    def __init__(self, client: redis.Redis) -> None:
        """Blocks while it connects. Raises redis-py's errors."""
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()

    def socket(self) -> socket.socket | None:
        """One of its own on the same connection, to be closed by the caller; None where that would not do,
        since what travels is encrypted."""
        own = self._connection._sock
        return own.dup() if type(own) is socket.socket else None

    def close(self) -> None:
        """Disconnect."""
        self._connection.disconnect()
        self._pool.release(self._connection)


def pack(*command: str | bytes | int) -> bytes:
    """A command as it travels.

    >>> pack("GET", "a")
    b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n'
    """
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n%s" % (len(parts), b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts]))
