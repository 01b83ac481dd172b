"""Parquet tables larger than half of the memory: column by column on disk, with the same examples as in memory."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput
from federated.machine import large_arrays

N = 500
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(50, 10, N).round(1),
        "height": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(170, 9, N)),
        "visits": RNG.integers(0, 9, N),
        "short": RNG.normal(0, 1, N).astype(np.float32),
        "gaps": pd.array(np.where(RNG.random(N) < 0.2, None, RNG.integers(0, 5, N)), "Int64"),
        "smokes": RNG.random(N) < 0.3,
        "unsure": pd.array(np.where(RNG.random(N) < 0.2, None, RNG.random(N) < 0.5), "boolean"),
        "ward": pd.Series(np.array(["a", "b", None, "c\u00e9"], object)[RNG.integers(0, 4, N)]),
        "kind": pd.Categorical(np.array(["x", "y"])[RNG.integers(0, 2, N)]),
        "site": np.array(["01", "1", "north"])[RNG.integers(0, 3, N)],
        "ill": np.array(["yes", "no"])[RNG.integers(0, 2, N)],
    }
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))


def examples_of(path: Path, **arguments: Any) -> Examples:
    found: Examples = DATASETS["table"](path, **({"target": "ill", "client": "site"} | arguments))()
    return found


def test_a_table_on_disk_is_that_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TABLE.to_parquet(tmp_path / "t.parquet", row_group_size=64)
    training = np.arange(0, N, 3)
    whole = examples_of(tmp_path / "t.parquet")
    expected = whole.fitted(training)
    monkeypatch.setattr(
        large_arrays, "machine_mb", lambda: 0.02
    )  # a table of 44 kB is large, a column is not
    monkeypatch.setattr(large_arrays, "_BLOCK_BYTES", 1000)
    found = examples_of(tmp_path / "t.parquet")
    ready = found.fitted(training)
    np.testing.assert_allclose(ready.inputs, expected.inputs, rtol=1e-6, atol=1e-6)
    assert ready.preprocessing.values == expected.preprocessing.values
    assert ready.inputs.base is not None  # of a map
    assert found.classes == whole.classes
    assert found.client_ids is not None
    assert whole.client_ids is not None
    assert found.client_ids.tolist() == whole.client_ids.tolist()
    np.testing.assert_array_equal(found.targets, whole.targets)
    assert found.reading == whole.reading
    assert found.digest == whole.digest
    np.testing.assert_array_equal(found.contents, whole.contents)
    assert [each.is_dir() for each in (tmp_path / "home" / "datasets" / "read").glob("parquet-*")] == [True]


def test_an_index_is_no_feature_unless_it_has_a_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TABLE.set_index("site")[["age", "ill"]].to_parquet(tmp_path / "named.parquet")
    TABLE[["age", "ill"]].set_axis(np.arange(N) * 7).to_parquet(tmp_path / "plain.parquet")
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: 0.001)
    named = examples_of(tmp_path / "named.parquet")
    assert named.client_ids is not None
    assert named.client_ids.tolist() == TABLE["site"].tolist()
    assert list(named.inputs.columns) == ["age"]
    assert list(examples_of(tmp_path / "plain.parquet", client=None).inputs.columns) == ["age"]


def test_columns_that_are_no_values_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLE[["age", "ill"]].assign(lists=[[1, 2]] * N)
    table.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: 0.001)
    with pytest.raises(BadInput, match=r"the column 'lists' holds list<.*> values; leave it out of the file"):
        examples_of(tmp_path / "t.parquet", client=None)


def folder_of(folder: Path) -> Path:
    """The table in a folder for each site, as Spark and Hive write them, with what they leave beside it."""
    for site, part in TABLE.groupby("site"):
        for at, rows in enumerate((part[:9], part[9:])):
            (folder / f"site={site}").mkdir(parents=True, exist_ok=True)
            rows.drop(columns="site").to_parquet(folder / f"site={site}" / f"part-{at}.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "_metadata.parquet").write_bytes(b"not a part of the table")
    return folder


@pytest.mark.parametrize("megabytes", [1e6, 0.02], ids=["in memory", "on disk"])
def test_a_folder_of_files_is_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: float
) -> None:
    sites = TABLE.sort_values("site", kind="stable")
    sites[[*sites.columns.drop("site"), "site"]].to_parquet(tmp_path / "one.parquet")
    one = examples_of(tmp_path / "one.parquet")
    monkeypatch.setattr(large_arrays, "machine_mb", lambda: megabytes)
    found = examples_of(folder_of(tmp_path / "table"))
    assert found.client_ids is not None
    assert set(found.client_ids) == {"01", "1", "north"}
    training = np.arange(0, N, 3)
    np.testing.assert_allclose(
        found.fitted(training).inputs, one.fitted(training).inputs, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(found.targets, one.targets)
    assert found.client_ids.tolist() == one.client_ids.tolist()  # type: ignore[union-attr]


def test_whole_numbers_beside_floats_and_columns_of_gaps_are_one_column(tmp_path: Path) -> None:
    parts = ({"x": [1, 2], "ill": ["a", "b"]}, {"x": [0.5], "ill": ["b"]}, {"ill": ["a"], "x": [None]})
    for at, part in enumerate(parts):
        pd.DataFrame(part).to_parquet(tmp_path / f"{at}.parquet")
    found = examples_of(tmp_path, client=None)
    assert found.inputs["x"].tolist()[:3] == [1, 2, 0.5]
    assert np.isnan(found.inputs["x"][3])
    assert found.targets.tolist() == [0, 1, 1, 0]


def parts_in(folder: Path, names: Sequence[str]) -> Path:
    """A row in each folder of a name."""
    for at, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        pd.DataFrame({"x": [at], "ill": ["yes" if at % 2 else "no"]}).to_parquet(folder / name / "a.parquet")
    return folder


def test_more_files_than_a_process_may_have_open_are_one_table(tmp_path: Path) -> None:
    folder = parts_in(tmp_path / "many", [f"site={at}" for at in range(120)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, hard))
    try:
        assert len(examples_of(folder).targets) == 120
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_names_of_folders_are_read_as_hive_writes_them(tmp_path: Path) -> None:
    folder = parts_in(tmp_path / "table", ["site=New%20York", "site=a%2Fb"])
    found = examples_of(folder)
    assert found.client_ids is not None
    assert found.client_ids.tolist() == ["New York", "a/b"]
    gaps = parts_in(tmp_path / "gaps", ["ward=1", "ward=2", "ward=__HIVE_DEFAULT_PARTITION__"])
    ward = examples_of(gaps, client=None).inputs["ward"]
    assert ward.tolist()[:2] == [1, 2]
    assert np.isnan(ward.tolist()[2])


def test_linked_folders_and_columns_that_begin_with_an_underscore_are_part_of_the_table(
    tmp_path: Path,
) -> None:
    parts_in(tmp_path / "elsewhere", ["_site=1", "_site=2"])
    folder = parts_in(tmp_path / "table", ["_site=1"])
    (folder / "_site=2").symlink_to(tmp_path / "elsewhere" / "_site=2")
    parts_in(folder, ["_temporary", ".hidden"])
    assert len(examples_of(folder, client="_site").targets) == 2


def test_numbers_of_rows_that_pandas_writes_into_some_files_are_no_column(tmp_path: Path) -> None:
    rows = pd.DataFrame({"x": [1.0, 2, 3], "ill": ["a", "b", "a"]})
    rows.iloc[:2].to_parquet(tmp_path / "0.parquet")
    rows[rows["x"] != 2].to_parquet(tmp_path / "1.parquet")
    assert list(examples_of(tmp_path, client=None).inputs.columns) == ["x"]


@pytest.mark.parametrize("kind", ["Delta", "Hudi", "Iceberg"])
def test_a_table_that_keeps_deleted_rows_is_refused(tmp_path: Path, kind: str) -> None:
    folder = parts_in(tmp_path / "table", ["data"])
    (folder / {"Delta": "_delta_log", "Hudi": ".hoodie", "Iceberg": "metadata"}[kind]).mkdir()
    if kind == "Iceberg":
        (folder / "metadata" / "v1.metadata.json").touch()
    with pytest.raises(BadInput, match=f"table is a table of {kind}, whose files hold deleted rows too"):
        examples_of(folder, client=None)


CHANGED_PARTS: dict[str, tuple[Any, str]] = {
    "a column less": (lambda part: part.drop(columns="age"), r"site=1/part-1.parquet has no column 'age'"),
    "a column more": (lambda part: part.assign(new=1), r"site=01/part-0.parquet has no column 'new'"),
    "another type": (
        lambda part: part.assign(age="old"),
        r"the column 'age' holds double values in site=01/part-0.parquet and (large_)?string in site=1/part-1.parquet",
    ),
    "lists": (lambda part: part.assign(age=[[1]] * len(part)), r"the column 'age' holds double values in "),
}


@pytest.mark.parametrize("case", CHANGED_PARTS)
def test_a_file_that_is_unlike_the_others_is_named(tmp_path: Path, case: str) -> None:
    change, message = CHANGED_PARTS[case]
    part = folder_of(tmp_path / "table") / "site=1" / "part-1.parquet"
    change(pd.read_parquet(part, partitioning=None)).to_parquet(part)
    with pytest.raises(BadInput, match=message):
        examples_of(tmp_path / "table")


def test_a_file_that_is_cut_off_or_in_another_place_is_named(tmp_path: Path) -> None:
    part = folder_of(tmp_path / "table") / "site=1" / "part-1.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        BadInput, match=r"site=1/part-1.parquet is not a Parquet file, or is damaged or cut off"
    ):
        examples_of(tmp_path / "table")
    part.write_bytes(b"")
    with pytest.raises(BadInput, match=r"site=1/part-1.parquet is not a Parquet file"):
        examples_of(tmp_path / "table")
    part.write_bytes(whole[:4] + bytes(1200) + whole[1204:])
    with pytest.raises(BadInput, match=r"site=1/part-1.parquet: the column 'age' cannot be read"):
        examples_of(tmp_path / "table")
    part.unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "table" / "more.parquet").write_bytes(whole)
    with pytest.raises(BadInput, match=r"not in folders of the same columns, such as site=north"):
        examples_of(tmp_path / "table")
    with pytest.raises(ValueError, match=r"decimal is of CSV files, but path table is Parquet"):
        examples_of(tmp_path / "table", decimal=",")
    with pytest.raises(
        ValueError, match=r"is a folder; a CSV or Parquet file, or a folder of Parquet files, is needed"
    ):
        examples_of(tmp_path / "empty")
