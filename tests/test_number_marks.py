"""Numbers of a CSV file are what its stated marks say, and what they do not say is asked for, not guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput
from federated.preprocessing.number_marks import Marks, number_read

GERMAN = {"separator": ";", "decimal": ",", "thousands": "."}


def column(folder: Path, cells: list[str], role: str = "x", **options: Any) -> Examples:
    """A table in which `x` has these cells, or the target has."""
    lines = [f"{cell};{'ab'[at % 2]};{at % 3}" for at, cell in enumerate(cells)]
    names = "x;y;z" if role == "x" else "y;x;z"
    (folder / "t.csv").write_text(names + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return DATASETS["table"](folder / "t.csv", "y", **{"separator": ";", **options})()


@pytest.mark.parametrize(
    ("text", "marks", "number"),
    [
        ("1.000", Marks(",", "."), "1000"),
        ("-1.234.567,5", Marks(",", "."), "-1234567.5"),
        ("12.345", Marks(",", "."), "12345"),
        ("0,100", Marks(",", "."), "0.100"),
        ("0.100", Marks(",", "."), None),
        ("-0.100", Marks(",", "."), None),
        ("00.100", Marks(",", "."), None),
        ("1.00", Marks(",", "."), None),
        ("1.0000", Marks(",", "."), None),
        ("1234.567", Marks(",", "."), None),
        ("0,100", Marks(".", ","), None),
        ("012,345", Marks(".", ","), None),
        ("1,234.5", Marks(".", ","), "1234.5"),
        ("1,23,456", Marks(".", ","), None),
        ("0.100", Marks(".", ","), "0.100"),
        ("0 100", Marks(",", " "), None),
        ("1.5", Marks(",", None), None),
    ],
)
def test_a_group_of_three_digits_follows_a_number_that_does_not_start_with_zero(
    text: str, marks: Marks, number: str | None
) -> None:
    assert number_read(text, marks) == number


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["0.100", "0.250", "1.500", "2.000"], "name it in `numeric` if the point is its decimal mark"),
        (["-0.100", "-0.200", "5", "7"], "name it in `numeric` if the point is its decimal mark"),
        (["1.00", "2.50", "1.000", "3.25"], "name it in `numeric` if the point is its decimal mark"),
        (["0.100", "1,5", "2,5", "3"], 'write 0.100 with the `decimal: ","` that is stated, in the file'),
    ],
)
def test_decimals_that_look_like_thousands_are_not_read_as_such(
    tmp_path: Path, cells: list[str], sentence: str
) -> None:
    found = column(tmp_path, cells, **GERMAN)
    assert found.inputs["x"].tolist() == cells
    assert any("'x' is read as text" in said and sentence in said for said in found.reading.warnings)


def test_the_advice_about_decimal_points_gives_their_values(tmp_path: Path) -> None:
    found = column(tmp_path, ["0.100", "0.250", "1.500", "2.000"], **GERMAN, numeric=("x",))
    assert found.inputs["x"].tolist() == [0.1, 0.25, 1.5, 2.0]


def test_english_decimals_with_a_comma_are_no_thousands(tmp_path: Path) -> None:
    found = column(tmp_path, ["0,100", "0,250", "1,500"], thousands=",")
    said = [each for each in found.reading.warnings if "'x' is read as text" in each]
    assert 'state `decimal: ","` instead of `thousands: ","`' in said[0]
    plain = column(tmp_path, ["0,100", "0,250", "1,500"])
    assert "not fit, such as '0,100' in row 1" in plain.reading.warnings[0]
    assert 'state `decimal: ","`, or name' in plain.reading.warnings[0]
    cured = column(tmp_path, ["0,100", "0,250", "1,500"], decimal=",")
    assert cured.inputs["x"].tolist() == [0.1, 0.25, 1.5]


def test_groups_that_could_be_decimals_are_said_until_confirmed(tmp_path: Path) -> None:
    cells = ["1.234", "2.345", "12.001", "-9.870"]
    found = column(tmp_path, cells, **GERMAN)
    assert found.inputs["x"].tolist() == [1234, 2345, 12001, -9870]
    said = [each for each in found.reading.warnings if "one group of three digits" in each]
    assert "such as 1.234, read as 1234; if these are decimals" in said[0]
    assert said[0].endswith("if not, name it in `numeric`")
    confirmed = column(tmp_path, cells, **GERMAN, numeric=("x",))
    assert not any("one group" in each for each in confirmed.reading.warnings)
    assert confirmed.inputs["x"].tolist() == [1234, 2345, 12001, -9870]
    for proof in ("850", "1.234.567", "1.234,5"):
        assert not any("one group" in w for w in column(tmp_path, [*cells, proof], **GERMAN).reading.warnings)
    target = column(tmp_path, cells, role="y", **GERMAN, task="regression")
    assert target.targets.tolist() == [1234, 2345, 12001, -9870]
    assert any("the target column 'y' has one group of three" in each for each in target.reading.warnings)


def test_a_target_with_a_leading_zero_is_no_thousands(tmp_path: Path) -> None:
    cells = [f"0.{100 + at}" for at in range(30)]
    with pytest.raises(
        BadInput, match=r"target column 'y' is text.*the point is its decimal mark|say `task: regression`"
    ):
        column(tmp_path, cells, role="y", **GERMAN)
    found = column(tmp_path, cells, role="y", **GERMAN, task="regression")
    assert found.targets.tolist() == pytest.approx([0.1 + at / 1000 for at in range(30)])


def test_what_does_not_fit_is_counted_by_the_stated_marks(tmp_path: Path) -> None:
    cells = ["77,5", "80,25", "k.A.", "1.001,5"]
    found = column(tmp_path, cells, **GERMAN)
    said = next(each for each in found.reading.warnings if "'x' is read as text" in each)
    assert "1 cell does not fit, such as 'k.A.' in row 3; state `missing_values: [\"k.A.\"]`" in said
    with pytest.raises(
        BadInput, match=r"'x' must be numeric, but 1 value is not, the first is 'k\.A\.' in row 3"
    ):
        column(tmp_path, cells, **GERMAN, numeric=("x",))
    cured = column(tmp_path, cells, **GERMAN, missing_values=("k.A.",))
    assert cured.inputs["x"].dropna().tolist() == [77.5, 80.25, 1001.5]


@pytest.mark.parametrize(
    ("strange", "sentence"),
    [
        ("39+", "write a number such as 39 for '39+' in the file (as a missing value it would be lost)"),
        (">38", "write a number such as 38 for '>38' in the file (as a missing value it would be lost)"),
        ("39 and over", "write a number such as 39 for '39 and over' in the file"),
        ("ca. 12", "write a number for 'ca. 12' in the file (as a missing value it would be lost)"),
        ("10-12", "write a number for '10-12' in the file (as a missing value it would be lost)"),
        ("unknown", 'state `missing_values: ["unknown"]` if that is what it stands for'),
    ],
)
def test_a_cell_that_says_a_value_is_not_advised_to_be_missing(
    tmp_path: Path, strange: str, sentence: str
) -> None:
    cells = [str(at) for at in range(39)] + [strange]
    said = [w for w in column(tmp_path, cells).reading.warnings if "'x' is read as text" in w]
    assert sentence in said[0]
    assert ("missing_values" in said[0]) == (strange == "unknown")


def test_bands_are_categories(tmp_path: Path) -> None:
    found = column(tmp_path, ["<18", "18-65", ">65", "neg"] * 6)
    assert not any("mostly numbers" in w or "read as text" in w for w in found.reading.warnings)
