"""Data that are read whole and do not fit in the memory are refused before they are read, with the cure."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets import DATASETS
from federated.datasets.csv_files import size
from federated.foundation.errors import BadInput
from federated.machine import large_arrays

ROWS = 4000


def _table(folder: Path, name: str, lines: int = 1) -> dict[str, Any]:
    numbers = np.random.default_rng(0).normal(size=ROWS)
    frame = pd.DataFrame(
        {
            "x": numbers,
            "place": ["\n".join(["somewhere"] * lines), "elsewhere"] * (ROWS // 2),
            "y": ["a", "b"] * (ROWS // 2),
        }
    )
    frame.to_csv(folder / name, index=False)
    return {"path": folder / name, "target": "y"}


def _npz(folder: Path) -> dict[str, Any]:
    np.savez_compressed(folder / "some.npz", inputs=np.zeros((ROWS, 50)), targets=np.arange(ROWS) % 2)
    return {"path": folder / "some.npz"}


def _idx(folder: Path) -> dict[str, Any]:
    for part in ("train", "t10k"):
        header = np.array([2051, ROWS, 10, 10], ">i4").tobytes()
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + bytes(ROWS * 100))
        labels = np.arange(ROWS, dtype=np.uint8) % 2
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            np.array([2049, ROWS], ">i4").tobytes() + labels.tobytes()
        )
    return {"path": folder}


def _windows(folder: Path) -> dict[str, Any]:
    for name in ("a", "b"):
        recording = {"x": np.arange(ROWS) % 10, "y": [1] * ROWS, "label": ["sit"] * 2000 + ["walk"] * 2000}
        pd.DataFrame(recording).to_csv(folder / f"{name}.csv", index=False)
    return {"path": folder, "signals": ("x", "y"), "target": "label", "length": 10}


KINDS: dict[str, tuple[str, Callable[[Path], dict[str, Any]], float, str]] = {
    # data set, its arguments, about the megabytes that it takes, the cure
    "csv": ("table", lambda folder: _table(folder, "some.csv"), 0.65, "write it as Parquet once"),
    "csv.gz": ("table", lambda folder: _table(folder, "some.csv.gz"), 0.65, "write it as Parquet once"),
    "npz": ("arrays", _npz, 1.63, "unzip some.npz -d some; path: some"),
    "idx": ("idx", _idx, 0.8, "write images and labels as .npy files"),
    "windows": ("windows", _windows, 0.13, "narrow `files`, or cut them into windows once"),
}


def _small(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    for module in (large_arrays, size, import_module("federated.datasets.windows")):
        monkeypatch.setattr(module, "machine_mb", lambda: megabytes)


@pytest.mark.parametrize("name", KINDS)
def test_what_does_not_fit_is_refused_with_its_size_and_the_cure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set, arguments, megabytes, cure = KINDS[name]
    load = DATASETS[data_set](**arguments(tmp_path))
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))
    _small(monkeypatch, 2 * megabytes)
    assert len(load().targets)
    _small(monkeypatch, megabytes / 2)
    with pytest.raises(BadInput, match=r"which (is|are) read whole, would take about 0\.0 GB") as refused:
        load()
    assert cure in str(refused.value)


@pytest.mark.parametrize("lines", [1, 10])
def test_the_estimate_of_a_table_is_what_pandas_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    path = _table(tmp_path, "some.csv", lines)["path"]
    frame = pd.read_csv(path)
    held = frame.memory_usage(index=False, deep=True).sum()
    held += frame[["y"]].astype(object).memory_usage(index=False, deep=True).sum()
    found: list[float] = []
    monkeypatch.setattr(size, "check_memory", lambda what, num_bytes, instead: found.append(num_bytes))
    monkeypatch.setattr(size, "machine_mb", lambda: 0.0)
    DATASETS["table"](path, "y")()
    assert found == [pytest.approx(held, rel=0.02)]
