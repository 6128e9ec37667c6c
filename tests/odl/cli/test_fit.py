"""`odl fit` and `odl predict` on files as people have them."""

import csv
import io
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
