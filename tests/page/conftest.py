"""A real Chromium, and replicas on a real Redis for it to look at."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "security"))  # which knows how to run a replica
sys.path.insert(0, str(Path(__file__).parent))

from secured_replica import Running, running
from visitor import Visitor, open_browser

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


@pytest.fixture(scope="session")
def start_replica(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Replica]]:
    """Starts a replica of the model `name` that `text` describes, with further arguments of `odl serve`."""
    with ExitStack() as started:

        def start(name: str, *arguments: str, text: str = MODEL) -> Replica:
            model = tmp_path_factory.mktemp(name) / "model.toml"
            model.write_text(f'name = "{name}"\n{text}')
            environment = {"ODL_MODEL": str(model), "ODL_REDIS": valkey_url}
            return Replica(started.enter_context(running(list(arguments), environment)))

        yield start


@pytest.fixture(scope="session")
def replica(start_replica: Callable[..., Replica]) -> Replica:
    """One that the tests of this folder share: each teaches it more."""
    return start_replica("page")


@pytest.fixture(scope="session")
def browser() -> Iterator[Visitor]:
    """One Chromium for all tests; each opens a page anew."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("the live page is tested in a real browser: apt-get install chromium chromium-driver")
    with open_browser(chromium, driver) as visitor:
        yield visitor
