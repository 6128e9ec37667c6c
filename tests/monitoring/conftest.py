"""A replica and a consumer as processes, and the rules as plain Prometheus takes them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from monitored import MODEL, MONITORING, Deployment, running


@pytest.fixture(scope="session")
def deployment(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A replica and a consumer that tests share."""
    from streaming.embedded_broker import EmbeddedBroker

    path = tmp_path_factory.mktemp("monitored") / "model.toml"
    path.write_text(MODEL.format(name="monitored"))
    options = ["--model", str(path), "--redis", valkey_url]
    with EmbeddedBroker() as broker:
        broker.create_topic("monitored-feedback", 1)
        broker.create_topic("monitored-feedback-dead-letters", 1)
        consume = ["consume", *options, "--kafka", broker.bootstrap, "--metrics-port", "0"]
        with (
            running(["serve", *options, "--port", "0"], r" at (http\S+)") as replica,
            running(consume, r"metrics at (http\S+)") as consumer,
        ):
            yield Deployment(replica, consumer)


@pytest.fixture(scope="session")
def rule_groups() -> dict[str, Any]:
    """The groups of the rules, as a rule file has them."""
    resource = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    groups: dict[str, Any] = resource["spec"]
    return groups


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """The path of a program, or the test is skipped."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed (Debian: prometheus, prometheus-alertmanager)")
        return found

    return find
