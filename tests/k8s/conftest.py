"""Makes the modules beside the tests importable, and builds each overlay once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from overlays import OVERLAYS, Overlay, build, missing


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    """Each overlay as kustomize builds it."""
    if missing():
        pytest.skip(missing())
    return build(str(request.param))


@pytest.fixture
def production() -> Overlay:
    """The overlay with every custom resource."""
    if missing():
        pytest.skip(missing())
    return build("production")
