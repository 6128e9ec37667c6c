"""Certificates of an authority that nobody else trusts, and model files."""

import sys
from pathlib import Path

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))  # which knows how to run Apache Kafka
sys.path.insert(0, str(Path(__file__).parent))

from certificates import Certificate, issue
from secured_replica import MODEL


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def localhost(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of a server on 127.0.0.1."""
    return issue(authority, "127.0.0.1", tmp_path_factory.mktemp("certificates") / "server")


@pytest.fixture(scope="session")
def visitor(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of a client."""
    return issue(authority, "client@example.org", tmp_path_factory.mktemp("certificates") / "client")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of a client by another authority."""
    return issue(trustme.CA(), "client@example.org", tmp_path_factory.mktemp("certificates") / "stranger")


@pytest.fixture
def model_file(tmp_path: Path, model_name: str) -> Path:
    """The file of a small model whose log nobody else uses."""
    path = tmp_path / "model.toml"
    path.write_text(f'name = "{model_name}"\n{MODEL}')
    return path
