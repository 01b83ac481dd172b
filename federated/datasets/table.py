"""Tables from a file: CSV or Parquet."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from federated.datasets.examples import Examples, Task, bad_data
from federated.datasets.frame import Roles, examples_of_frame


def table(
    path: Path,
    target: str,
    client: str | None = None,
    task: Task | None = None,
    numeric: tuple[str, ...] | None = None,
    categorical: tuple[str, ...] | None = None,
    drop: tuple[str, ...] = (),
    missing: Literal["impute", "error"] = "impute",
    separator: str = ",",
) -> Callable[[], Examples]:
    """One example a row, one feature a column; preprocessing is fitted on the training examples alone.

    path: a CSV file with a header line (.gz and the like are unpacked), or a .parquet file. What pandas
        reads as missing is missing: an empty field, NA, NaN, null, None, ...
    target: the column to predict; never standardised. Messages count rows from 1, without the header.
    client: the column that says who holds each row; never a feature.
    task: unless stated, a target of text or booleans is classification, one of whole numbers with at most 20
        distinct ones too, and any other number is regression. Class numbers follow the sorted values.
    numeric, categorical: columns to be read so. Where both are stated they are all the features there are;
        else the columns not named are inferred: numbers are numeric, text and booleans categorical.
    drop: columns to leave out.
    missing: "impute" as `features_of` describes, or "error" to refuse a missing feature.
    separator: one character, for CSV.
    """
    if not path.is_file():
        raise ValueError(f"path {path} is not a file; a CSV or Parquet file is needed")
    if len(separator) != 1:
        raise ValueError(f"separator must be one character, got {separator!r}")
    roles = Roles(target, client, task, numeric, categorical, drop, missing)

    def load() -> Examples:
        return examples_of_frame(_read(path, separator), roles, "table", path.name, source=str(path))

    return load


def _read(path: Path, separator: str) -> pd.DataFrame:
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        _check_header(path, separator)
        # low_memory: in chunks, pandas would infer a dtype for each and mix them.
        return pd.read_csv(path, sep=separator, skipinitialspace=True, low_memory=False)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise bad_data("table", f"{path} cannot be read: {error}") from error


def _check_header(path: Path, separator: str) -> None:
    """Raises ValueError where pandas would rename a repeated column or read the first one as row names."""
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "skipinitialspace": True}
    head = pd.read_csv(path, sep=separator, header=None, nrows=2, **options)
    names = head.iloc[0].tolist()
    if repeated := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(
            f"the column {repeated[0]!r} is there more than once; give every column a name of its own"
        )
