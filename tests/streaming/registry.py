"""A schema registry over HTTP, as far as Confluent's clients need one: schemas go in, and out by their id."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class SchemaRegistry:
    """Listens on a free port of 127.0.0.1 until `close`."""

    def __init__(self) -> None:
        schemas: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # /subjects/NAME/versions
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if asked["schema"] not in schemas:
                    schemas.append(asked["schema"])
                self._answer(200, {"id": schemas.index(asked["schema"]) + 1})

            def do_GET(self) -> None:  # /schemas/ids/N
                number = self.path.partition("?")[0].rpartition("/")[2]
                if number.isdigit() and 1 <= int(number) <= len(schemas):
                    self._answer(200, {"schema": schemas[int(number) - 1]})
                else:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})

            def _answer(self, status: int, facts: dict[str, Any]) -> None:
                body = json.dumps(facts).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
