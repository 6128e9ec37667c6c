"""The model class without seldon-core around it: its settings, and `load`."""

from pathlib import Path

import pytest

import seldon.model
from seldon.model import OdlModel, Refused

MODEL = """
name = "two-fronts"
[model]
task = "binary"
classes = ["on time", "late"]
"""


def test_without_settings_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODL_REDIS", raising=False)
    with pytest.raises(SystemExit, match="odl: the model file .* cannot be read"):
        OdlModel(model=str(tmp_path / "none.toml"))
    (tmp_path / "model.toml").write_text(MODEL)
    with pytest.raises(SystemExit, match="odl: expected the environment variable ODL_REDIS"):
        OdlModel(model=str(tmp_path / "model.toml"))


def test_before_it_is_loaded_it_is_not_healthy(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(MODEL)
    model = OdlModel(model=str(tmp_path / "model.toml"), redis="redis://127.0.0.1:1/0")
    with pytest.raises(Refused, match="not loaded yet") as caught:
        model.health_status_raw()
    assert caught.value.failure.status == 503


@pytest.mark.parametrize("trap", [AttributeError, NotImplementedError])
def test_an_error_that_seldon_core_would_swallow_in_load_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: type[Exception]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise trap("a slip in our code")

    (tmp_path / "model.toml").write_text(MODEL)
    model = OdlModel(model=str(tmp_path / "model.toml"), redis="redis://127.0.0.1:1/0")
    monkeypatch.setattr(seldon.model, "open_service", broken)
    with pytest.raises(RuntimeError, match="the model cannot be loaded: a slip in our code"):
        model.load()
    with pytest.raises(Refused, match="not loaded yet"):
        model.health_status_raw()
