"""granian as our server runs it, with nothing behind it: reads the body, answers as long as a prediction."""

import asyncio
import sys
from typing import Any

from seldon.server import _Granian, listen

ANSWER = b'{"meta":{"puid":"0123456789abcdef0123456789abcdef","tags":{"version":0,"epoch":1}},"data":%s}' % (
    b'{"names":["0","1"],"ndarray":[[0.5,0.5]]}'
)


class Hello:
    """Reads, answers."""

    async def __rsgi__(self, scope: Any, transport: Any) -> None:
        if scope.method == "POST":
            await transport()
        transport.response_bytes(200, [("content-type", "application/json")], ANSWER)


async def main() -> None:
    """Serve until killed."""
    with listen("127.0.0.1", 0) as listener:
        sys.stdout.write(f"at http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await _Granian(Hello(), listener, None).serve()


asyncio.run(main())
