"""`python -m seldon.scorer model.npz`: an exported model behind the same REST protocol, by NumPy alone.

For sites that want a daily frozen model in a small container: no compiler, no Redis, no Kafka.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from odl.errors import OdlError
from seldon.frozen import open_frozen
from seldon.server import answer_requests, listen


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 with one line when the file or the port does not fit."""
    parser = argparse.ArgumentParser(prog="python -m seldon.scorer", description=__doc__)
    parser.add_argument("file", type=Path, help="what `odl export` wrote")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on (9000; 0: a free one)")
    args = parser.parse_args(argv)
    try:
        with listen(args.host, args.port) as listener, open_frozen(args.file) as service:
            asyncio.run(answer_requests(service, listener))
    except OdlError as error:
        sys.stderr.write(f"scorer: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
