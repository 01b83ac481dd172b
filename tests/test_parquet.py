"""Parquet tables larger than half of the memory: column by column on disk, with the same examples as in memory."""

from __future__ import annotations

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
