"""Numbers that stand for missing are said, with how to state it; ordinary columns are left alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets import DATASETS, Examples, as_examples
from federated.examples.tables.codes_of_missing import codes_of_missing
from federated.foundation.errors import BadInput

ROWS = 300
R = np.random.default_rng(5)


def table(folder: Path, columns: dict[str, Any], target: str = "y", **options: Any) -> Examples:
    frame = pd.DataFrame({**({} if "y" in columns else {"y": np.arange(ROWS) % 2}), **columns})
    frame.to_csv(folder / "t.csv", index=False, sep=options.get("separator", ","))
    return DATASETS["table"](folder / "t.csv", target, **options)()


def coded(values: np.ndarray, **codes: int) -> np.ndarray:
    """The values with a code in every so manieth row: _999="-999" of n rows; keys are written with m for minus."""
    made = values.astype(float).copy()
    for at, (code, every) in enumerate(codes.items()):
        made[at + 1 :: every] = float(code.replace("m", "-").replace("p", ".").lstrip("_"))
    return made


CODED: dict[str, tuple[np.ndarray, tuple[float, ...]]] = {
    "floats": (coded(R.normal(20, 5, ROWS), m999=50), (-999,)),
    "floats with decimals": (coded(R.normal(20, 5, ROWS), m999p9=50), (-999.9,)),
    "two decimals": (coded(R.uniform(0, 1, ROWS), m99p99=299), (-99.99,)),
    "positive": (coded(R.normal(20, 5, ROWS), _9999=50), (9999,)),
    "air quality, wide": (coded(R.uniform(2, 1479, ROWS).round(1), m200=20), (-200,)),
    "air quality, narrow": (coded(R.normal(18, 8, ROWS).round(1), m200=20), (-200,)),
    "wide amounts": (coded(R.integers(0, 5000, ROWS), m999=100), (-999,)),
    "days since": (coded(R.integers(0, 800, ROWS), m1=2), (-1,)),
    "survey": (coded(R.integers(18, 96, ROWS), _777=50, _888=60, _999=70), (777, 888, 999)),
    "scale": (coded(R.integers(1, 6, ROWS), _88=50, _99=60), (88, 99)),
    "both ends": (coded(R.normal(0, 1, ROWS), m999=50, _999=60), (-999, 999)),
    "fill value": (coded(R.normal(280, 9, ROWS), _9p96921e36=50), (9.96921e36,)),
    "end of int16": (coded(R.integers(0, 4000, ROWS), m32768=50), (-32768,)),
}


@pytest.mark.parametrize("what", CODED)
def test_codes_are_found_whatever_they_are(what: str) -> None:
    column, expected = CODED[what]
    found = codes_of_missing(column)
    assert found is not None
    assert found.values.tolist() == list(expected)
    assert codes_of_missing(column[~np.isin(column, expected)]) is None


ORDINARY: dict[str, np.ndarray] = {
    "ages": R.integers(18, 100, ROWS),
    "nine is the top": np.append(R.integers(0, 9, ROWS), 9),
    "percent": R.integers(0, 101, ROWS),
    "temperature": R.normal(5, 9, ROWS).round(1),
    "winter": R.integers(-1, 30, ROWS),
    "change": R.integers(-100, 101, ROWS),
    "signs": R.choice([-1, 1], ROWS),
    "mood": R.choice([-1, 0, 1, 2], ROWS),
    "scaled": R.uniform(-1, 1, ROWS).round(1),
    "counts": R.poisson(95, ROWS),
    "amounts": R.lognormal(3, 1.5, ROWS).round(2),
    "heavy tails": R.standard_t(2, ROWS),
    "gains": np.where(R.random(ROWS) < 0.9, 0, R.exponential(1000, ROWS).round()),
    "pressure": R.normal(1013, 9, ROWS).round(1),
    "few": np.array([0.0, 1, 999] * 100),
    "gaps": np.where(np.arange(ROWS) % 4 == 0, np.nan, R.normal(0, 1, ROWS)),
    "nothing": np.full(ROWS, np.nan),
}


@pytest.mark.parametrize("what", ORDINARY)
def test_ordinary_columns_are_left_alone(what: str) -> None:
    assert codes_of_missing(ORDINARY[what].astype(float)) is None


def test_what_is_advised_makes_them_missing(tmp_path: Path) -> None:
    column = coded(R.normal(20, 5, ROWS).round(2), m999p9=50)
    said = table(tmp_path, {"x": column}).reading.warnings
    assert len(said) == 1
    assert "the column 'x' is -999.9 in 6 rows, the first is row 2, and " in said[0]
    assert said[0].endswith('if it stands for missing, state `missing_values: ["-999.9"]`')
    cured = table(tmp_path, {"x": column}, missing_values=("-999.9",))
    assert cured.inputs["x"].isna().sum() == 6
    assert cured.reading.warnings == ()
    comma = [f"{value:g}".replace(".", ",") for value in column]
    german = table(tmp_path, {"x": comma}, separator=";", decimal=",", missing_values=("-999.9",))
    assert german.inputs["x"].isna().sum() == 6


def test_what_is_advised_works_for_groups_of_thousands(tmp_path: Path) -> None:
    cells = [f"{1_000 + 7 * at:,}" if at % 10 else "-9,999" for at in range(ROWS)]
    options: dict[str, Any] = {"separator": ";", "thousands": ",", "numeric": ("x",)}
    said = table(tmp_path, {"x": cells}, **options).reading.warnings
    assert re.search(r"-9999 in 30 rows.* state `missing_values: \[\"-9999\"\]`", said[0])
    cured = table(tmp_path, {"x": cells}, **options, missing_values=("-9999",))
    assert cured.inputs["x"].isna().sum() == 30
    assert cured.inputs["x"].min() == 1_007


def test_codes_in_a_regression_target_are_said(tmp_path: Path) -> None:
    target = coded(R.normal(20, 5, ROWS), m999=50)
    for task in (None, "regression"):
        said = table(tmp_path, {"y": target, "x": R.normal(0, 1, ROWS)}, task=task).reading.warnings
        assert "the target column 'y' is -999 in 6 rows" in said[0]
        assert said[0].endswith("if it stands for missing, remove these rows")
    np.savez(tmp_path / "a.npz", inputs=np.ones((ROWS, 2)), targets=target)
    for task in (None, "regression"):
        said = DATASETS["arrays"](tmp_path / "a.npz", task=task)().reading.warnings
        assert "targets is -999 in 6 rows, the first is row 2" in said[0]
    assert "targets is -999" in as_examples((np.ones((ROWS, 2)), target), "m:load").reading.warnings[0]


@pytest.mark.parametrize(
    "cells",
    [
        [f"2024-{1 + at % 12:02}-{1 + at % 28:02}" for at in range(ROWS)],
        [f"{1 + at % 28}.{1 + at % 12}.2024" for at in range(ROWS)],
        [f"{1 + at % 12}/{1 + at % 28}/24 3:{at % 60:02} PM" for at in range(ROWS)],
        [f"2024-{1 + at % 12:02}-01T10:00:00+02:00" for at in range(ROWS)],
        [f"{1 + at % 28} May 2024" for at in range(ROWS)],
        [f"{at % 24:02}:{at % 60:02}" for at in range(ROWS)],
        [f"2024-{1 + at % 12:02}" for at in range(ROWS)],
    ],
)
def test_a_target_of_dates_is_refused_unless_it_is_said_to_be_classes(
    tmp_path: Path, cells: list[str]
) -> None:
    columns = {"y": cells, "x": np.arange(ROWS) % 7}
    with pytest.raises(
        BadInput, match=r"target column 'y' holds dates or times, such as .*turn it into numbers"
    ):
        table(tmp_path, columns)
    assert table(tmp_path, columns, task="classification").classes == tuple(sorted(set(cells)))
    pair = (np.ones((ROWS, 2)), cells)
    with pytest.raises(BadInput, match="targets holds dates or times"):
        as_examples(pair, "m:load")


def test_dates_of_other_types_are_no_target_and_no_number(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=ROWS)
    frame = pd.DataFrame({"y": days, "x": np.arange(ROWS) % 7, "gap": pd.to_timedelta(np.arange(ROWS), "D")})
    frame.to_parquet(tmp_path / "t.parquet")
    read = DATASETS["table"]
    for task in (None, "classification", "regression"):
        with pytest.raises(BadInput, match="target column 'y' holds dates or times; turn it into numbers"):
            read(tmp_path / "t.parquet", "y", task=task, drop=("gap",))()
    with pytest.raises(
        BadInput, match=r"2 columns cannot be used:\n.*'y' must be numeric, but holds datetime64"
    ):
        read(tmp_path / "t.parquet", "x", numeric=("y", "gap"))()


def test_dates_in_digits_are_said(tmp_path: Path) -> None:
    days = [int(day.strftime("%Y%m%d")) for day in pd.date_range("2023-11-01", periods=ROWS // 2)] * 2
    said = table(tmp_path, {"x": days}).reading.warnings
    assert "'x' holds numbers such as 20231101, which look like dates and are read as amounts" in said[0]
    target = table(tmp_path, {"y": days, "x": np.arange(ROWS) % 7}).reading.warnings
    assert any("the target column 'y' holds numbers such as 20231101" in each for each in target)
    others = np.append(days[:-1], 20231301)
    assert table(tmp_path, {"x": others}).reading.warnings == ()
