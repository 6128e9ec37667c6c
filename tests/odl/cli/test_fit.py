"""`odl fit` and `odl predict` on files as people have them."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from odl.cli import main


def write_csv(path: Path, rows: int = 400) -> Path:
    lines = ["age,city,churned"]
    for i in range(rows):
        age = "" if i % 50 == 7 else str(20 + i % 60)
        lines.append(f"{age},{'Rome' if i % 3 else 'Oslo'},{'yes' if i % 60 > 30 else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_folded_kept_drawn_and_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv")
    model, figure = tmp_path / "model.odl", tmp_path / "curve.png"
    assert main(["fit", str(data), "--label", "churned", "--save", str(model), "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    accuracy = float(next(line.split()[1] for line in printed.splitlines() if line.startswith("accuracy")))
    assert accuracy > 0.8
    assert figure.read_bytes().startswith(b"\x89PNG")

    assert main(["predict", str(model), str(data), "--label", "churned"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 400
    assert all(abs(float(row["yes"]) + float(row["no"]) - 1) < 1e-5 for row in rows)
    assert float(rows[59]["yes"]) > 0.5 > float(rows[1]["yes"])


def test_many_distinct_numbers_are_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rent.csv"
    data.write_text("size,rent\n" + "".join(f"{i % 50},{3 * (i % 50) + 10}\n" for i in range(300)))
    assert main(["fit", str(data), "--label", "rent"]) == 0
    assert "mae" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "no column 'y'"),
        ("a,y\n1\n", "row 1: expected 2 values"),
        ("a,y\n", "at least one row"),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(content)
    assert main(["fit", str(data), "--label", "y"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def kept_model(folder: Path) -> Path:
    """A model of a category whose values look like numbers but for one, and of a number."""
    data, model = folder / "shops.csv", folder / "shops.odl"
    rows = [f"{('7', '8', 'x')[i % 3]},{i % 10},{'yes' if i % 3 == 1 else 'no'}" for i in range(300)]
    data.write_text("\n".join(["shop,size,y", *rows]) + "\n")
    assert main(["fit", str(data), "--label", "y", "--save", str(model)]) == 0
    return model


def test_predicted_columns_are_what_they_were_when_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, new = kept_model(tmp_path), tmp_path / "new.csv"
    new.write_text("shop\n7\n8\n")
    capsys.readouterr()
    assert main(["predict", str(model), str(new)]) == 0
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert float(rows[1]["yes"]) > 0.5 > float(rows[0]["yes"])
    assert "has no size" in printed.err


@pytest.mark.parametrize(
    ("content", "message"),
    [("town\nRome\n", "none of the columns"), ("size\nlarge\n", "row 1: expected a number in 'size'")],
)
def test_predicting_what_was_never_learned_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    model, new = kept_model(tmp_path), tmp_path / "new.csv"
    new.write_text(content)
    assert main(["predict", str(model), str(new)]) == 2
    assert message in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    model, new = kept_model(tmp_path), tmp_path / "new.csv"
    new.write_text("shop,size\n" + "7,1\n" * 20_000)
    command = [sys.executable, "-m", "odl", "predict", str(model), str(new)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"no,yes\r\n"
        process.stdout.close()
        assert process.stderr.read() == b""
