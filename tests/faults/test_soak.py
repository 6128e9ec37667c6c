"""A soak goes on where it was stopped, and keeps the seed of every failure."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from soak import Soak


def play(name: str, seed: int, directory: Path, **_: Any) -> Counter[str]:
    """A round in which the third seed breaks a promise."""
    directory.mkdir(parents=True)
    (directory / "trace").write_text(f"{name} {seed}")
    assert seed != 3, "an event was learned twice"
    return Counter({"rejoined": 1})


def test_it_goes_on_where_it_was_and_keeps_what_failed(tmp_path: Path) -> None:
    for seeds in ((1, 2), (3, 4)):  # two processes, one after the other
        soak = Soak(tmp_path, Console(quiet=True), play)
        assert soak.rows["R12"].next_seed == seeds[0]
        kept = [soak.round("R12", soak.rows["R12"].next_seed) for _ in seeds]
        assert kept == [seed != 3 for seed in seeds]
    state = json.loads((tmp_path / "state.json").read_text())["R12"]
    assert (state["rounds"], state["landed"]) == (4, {"rejoined": 3})
    [failure] = state["failures"]
    assert failure["seed"] == 3
    assert "an event was learned twice" in failure["error"]
    assert (tmp_path / "rounds" / "R12-3" / "trace").exists(), "the files of a failure stay"
    assert not (tmp_path / "rounds" / "R12-4").exists()
    assert soak.share("R12") == 3 / 50
