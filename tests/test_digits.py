"""Columns whose digits say more than their numbers: codes with leading zeros, German thousands; rows of totals."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from federated.datasets import DATASETS, Examples
from federated.examples.reading import Suspicion, said
from federated.foundation.errors import BadInput

MANY = 250_000


def read(folder: Path, cells: list[str], file: str = "t.csv", **options: Any) -> Examples:
    text = "y,x,z\n" + "".join(f"{at % 2},{cell},{at % 7}\n" for at, cell in enumerate(cells))
    content = text.encode(options.get("encoding") or "utf-8")
    (folder / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    return DATASETS["table"](folder / file, "y", **options)()


@pytest.mark.parametrize("row", [1, 10_001, 100_000, 100_001, MANY])
def test_a_leading_zero_is_found_in_whatever_row_it_is(tmp_path: Path, row: int) -> None:
    cells = ["8001"] * MANY
    cells[row - 1] = "01234"
    warnings = read(tmp_path, cells).reading.warnings
    assert len(warnings) == 1
    assert (
        f"'x' has leading zeros, as codes have, such as 01234 in row {row}, which is read as 1234"
        in warnings[0]
    )


def test_a_leading_zero_is_found_in_any_file(tmp_path: Path) -> None:
    cells = ["12", '"007"', "", "13"] * 6
    for file, options in (("t.csv.gz", {}), ("t.csv", {"encoding": "utf-16"}), ("u.csv", {})):
        assert any(
            "such as 007 in row 2" in w for w in read(tmp_path, cells, file, **options).reading.warnings
        )
    for options in ({"numeric": ("x",)}, {"categorical": ("x",)}, {"drop": ("x",)}):
        assert not any("leading" in w for w in read(tmp_path, cells, **options).reading.warnings)
    assert not any(
        "leading" in w for w in read(tmp_path, ["0", "10", "-5", "0.5", "1e05"] * 6).reading.warnings
    )


def test_decimals_that_are_thousands_are_said(tmp_path: Path) -> None:
    cells = ["938", "1.001", "12.500", "850", "2.250", "7", "999.999", ""] * 3
    warnings = [w for w in read(tmp_path, cells).reading.warnings if "three digits after every point" in w]
    assert len(warnings) == 1
    assert 'state `thousands: "."` and `decimal: ","` if so' in warnings[0]
    cured = read(tmp_path, cells, thousands=".", decimal=",")
    assert cured.inputs["x"].dropna().tolist() == [938, 1001, 12500, 850, 2250, 7, 999999] * 3
    assert not any("three digits" in w for w in read(tmp_path, cells, numeric=("x",)).reading.warnings)


@pytest.mark.parametrize(
    "cells",
    [
        ["938.000", "1.001", "12.500"] * 8,
        ["938", "1.001", "12.5"] * 8,
        ["0.938", "1.001", "12"] * 8,
        ["1938", "1.001", "12.500"] * 8,
        ["1", "2", "3"] * 8,
        ["1.5", "2", "3.25"] * 8,
    ],
)
def test_decimals_that_are_decimals_are_left_alone(tmp_path: Path, cells: list[str]) -> None:
    assert not any("three digits" in w for w in read(tmp_path, cells).reading.warnings)


def test_rows_of_totals_are_said(tmp_path: Path) -> None:
    text = "site,x,y\n" + "a,1,yes\nb,2,no\n" * 9
    (tmp_path / "t.csv").write_text(text + "Total,27,\n")
    with pytest.raises(
        BadInput, match=r"'y' is missing in 1 of 19 rows, the first is row 19 \(the last one: does it"
    ):
        DATASETS["table"](tmp_path / "t.csv", "y", client="site")()
    (tmp_path / "t.csv").write_text(text + "Total,27,no\n")
    warnings = DATASETS["table"](tmp_path / "t.csv", "y", client="site")().reading.warnings
    assert any(
        "has a client 'Total' of 1 row; if these are totals of other rows" in each for each in warnings
    )


def test_many_faults_of_one_column_are_no_other_columns() -> None:
    faults = [Suspicion("names that are nearly the same", "c", f"c has {at}") for at in range(6)]
    assert said(faults) == (
        "c has 0",
        "c has 1",
        "c has 2",
        "names that are nearly the same: 3 more of the same kind",
    )
    others = [Suspicion("dates", name, f"{name} holds dates") for name in "abcdcd"]
    assert said(others)[3:] == ("dates: 1 other column as well: 'd'", "dates: 1 more of the same kind")
