"""Rows of tables: columns of numbers and of categories, with whatever a CSV file, a DataFrame or JSON made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .number_marks import Marks, number_read


def inputs_of_table(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Float32 [n, features]: standardised numbers, where they were missing, a column for each category.

    A column that is absent is missing in every row. A category that training did not have is all zeros. Other columns
    are not looked at. Raises ValueError where a number is none.

    values: columns (in the order of the table), numeric, gappy (numeric ones with a column for what is missing),
    categorical (name -> categories, None for missing), decimal and thousands (the marks of numbers in texts).
    arrays: median, mean, scale of the numeric columns, float64.
    """
    frame = _frame(values, rows)
    marks = Marks(values["decimal"], values["thousands"])
    numeric = list(values["numeric"])
    numbers = np.empty((len(frame), len(numeric)))
    for at, name in enumerate(numeric):
        numbers[:, at] = _numbers(frame, name, marks)
    missing = np.isnan(numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        standardised = (np.where(missing, arrays["median"], numbers) - arrays["mean"]) / arrays["scale"]
    gaps = missing[:, [numeric.index(name) for name in values["gappy"]]]
    coded = [_one_hot(frame, name, known) for name, known in values["categorical"].items()]
    with np.errstate(over="ignore"):
        return np.hstack([standardised.astype(np.float32), gaps.astype(np.float32), *coded])


def example_of_table(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row of medians and first categories, and the same once more."""
    numbers = dict(zip(values["numeric"], arrays["median"].tolist(), strict=True))
    row = {}
    for name in values["columns"]:
        known = values["categorical"].get(name, [])
        row[name] = numbers.get(name, next((each for each in known if each is not None), None))
    return pd.DataFrame([row, row], columns=list(values["columns"]))


def _frame(values: Mapping[str, Any], rows: Any) -> pd.DataFrame:
    """The rows as a DataFrame. Raises ValueError where no column of it is one that training had."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    known = [*values["numeric"], *values["categorical"]]
    if not set(known) & set(frame.columns):
        raise ValueError(f"the rows have none of the columns that the model takes: {', '.join(known)}")
    return frame


def _numbers(frame: pd.DataFrame, name: str, marks: Marks) -> np.ndarray:
    """A column as float64 [n], NaN where it is missing."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    column = frame[name]
    column = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    converted = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    texts = np.flatnonzero(np.isnan(converted) & column.notna().to_numpy())
    converted = converted.copy() if len(texts) else converted
    for row in texts:
        read = number_read(str(column.iloc[row]), marks)
        if read is None:
            raise ValueError(
                f"the column {name!r} must be numeric, but is {column.iloc[row]!r} in row {row + 1}"
            )
        converted[row] = float(read)
    if len(infinite := np.flatnonzero(np.isinf(converted))):
        raise ValueError(f"the column {name!r} is infinite in row {infinite[0] + 1}")
    return converted


def _one_hot(frame: pd.DataFrame, name: str, known: Sequence[str | None]) -> np.ndarray:
    """Float32 [n, categories]."""
    place = {text: at for at, text in enumerate(known)}
    if name not in frame.columns:
        codes = np.full(len(frame), place.get(None, -1))
    else:
        column = frame[name]
        found = zip(column.to_numpy(object), column.isna().to_numpy(), strict=True)
        codes = np.array([place.get(None, -1) if gap else _place(place, value) for value, gap in found], int)
    coded: np.ndarray = (codes[:, None] == np.arange(len(known))).astype(np.float32)
    return coded


def _place(place: Mapping[str | None, int], value: Any) -> int:
    """The number of a category, -1 for an unknown one. A whole number is the same category with a point and without:
    whether pandas writes one depends on the column's other rows."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if text in place:
        return place[text]
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return place.get(str(int(value)), -1)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return place.get(f"{value}.0", -1)
    return -1
