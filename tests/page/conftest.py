"""A real Chromium, and replicas on a real Redis for it to look at."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "security"))  # which knows how to run a replica
sys.path.insert(0, str(Path(__file__).parent))

from secured_replica import running
from visitor import Visitor, open_browser
from watched_replica import MODEL, Replica


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
