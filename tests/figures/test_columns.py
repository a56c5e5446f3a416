import numpy as np
import pytest

from figures.columns import read_columns, where, write_columns
from figures.errors import FiguresError


def test_columns_come_back_as_they_were_written(tmp_path):
    columns = {
        "kind": np.array(["a", "b", "b"]),
        "x": np.array([1.5, np.nan, -2.0]),
        "step": np.array([0, 1, 2]),
    }
    path = write_columns(tmp_path / "t.csv", columns)
    again = read_columns(path, ["kind", "x"])
    assert list(again) == ["kind", "x", "step"]
    assert again["kind"].tolist() == ["a", "b", "b"]
    np.testing.assert_array_equal(again["x"], columns["x"])
    kept = where(again, kind="b", step=2)
    assert kept["x"].tolist() == [-2.0]


def test_an_empty_cell_is_no_number_and_not_zero(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,\n2,3\n")
    columns = read_columns(tmp_path / "t.csv", ["y"])
    assert np.isnan(columns["y"][0])
    assert columns["y"][1] == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "no such file; `python -m theory data -o"),
        ("", "no rows"),
        ("x\n", "no rows"),
        ("x\n1\n", "no column 'y'; it has x"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, text, line):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FiguresError, match=rf"t\.csv: {line}"):
        read_columns(path, ["y"])
