"""Connections that stay in hand between two commands, for the few scripts that run for every request.

Through redis-py's pool and command machinery a script costs the client as much time as its round trip; over a
connection that is at hand it costs little more than the same bytes on a bare socket.
"""

from collections import deque
from typing import Any

import redis


class Lines:
    """Runs commands over connections of a client's pool that it keeps. Safe to use from many threads: there
    are as many as commands that ran at once. They close with the client."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()  # the most recently used last

    def execute(self, *command: str | bytes | int) -> Any:
        """The reply. Raises redis-py's errors; after one that leaves the connection in doubt, the next
        command has one that the pool has looked at, since the others are likely to be as dead."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_command(*command), check_health=False)
            reply = connection.read_response()
        except redis.exceptions.ResponseError:  # an answer, too
            self._idle.append(connection)
            raise
        except BaseException:
            self._give_back(connection)
            while self._idle:
                self._give_back(self._idle.pop())
            raise
        self._idle.append(connection)
        return reply

    def _give_back(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)
