"""A replica that the page looks at, of a model whose names and labels would be markup if they could."""

from typing import Any

import httpx
from secured_replica import Running

# What users may call things; as markup it would run.
HOSTILE_LABEL = "<img src=x onerror=window.hit=1>"
HOSTILE_FIELD = "<script>window.hit=1</script>"
MODEL = f"""
[model]
task = "binary"
classes = ["stays", "{HOSTILE_LABEL}"]
fields = {{ usage = "number", plan = "category", "{HOSTILE_FIELD}" = "category" }}
hidden_layers = 2
width = 16
"""


class Replica:
    """A replica that learns what it is told."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.url = server.url
        self.sent = 0

    def feed(self, count: int) -> int:
        """Teach so many events; the version after them."""
        version = 0
        for _ in range(count):
            usage = self.sent % 20
            x = {"usage": usage, "plan": "basic", HOSTILE_FIELD: "<b>bold</b>"}
            truth = HOSTILE_LABEL if usage < 5 else "stays"
            message = {
                "request": {"jsonData": x, "meta": {"puid": f"event-{self.sent}"}},
                "truth": {"strData": truth},
            }
            answer = httpx.post(f"{self.url}/api/v1.0/feedback", json=message, timeout=60)
            version = answer.raise_for_status().json()["meta"]["tags"]["version"]
            self.sent += 1
        return version

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/status", timeout=60).json()
        return found
