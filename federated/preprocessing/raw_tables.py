"""Rows of tables: columns of numbers and of categories, with whatever a CSV file, a DataFrame or JSON made of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .number_marks import PLAIN, Marks, number_read

_LOG = logging.getLogger(__name__)
_UNKNOWN, _GAP = -1, -2
"""In the place of a category's number."""


def inputs_of_table(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Float32 [n, features]: standardised numbers, where they were missing, a column for each category.

    A column that is absent is missing in every row, with a warning. A category that training did not have is all zeros.
    Other columns are not looked at, nor are spaces before names and texts. Raises ValueError where a number is none.

    values: columns (in the order of the table), numeric, gappy (numeric ones with a column for what is missing),
    categorical (name -> categories, None for missing), decimal and thousands (the marks of numbers in texts),
    missing_values (texts that stand for a missing value; models that were logged before have none).
    arrays: median, mean, scale of the numeric columns, float64.
    """
    frame = _frame(values, rows)
    marks, gaps_as = Marks(values["decimal"], values["thousands"]), tuple(values.get("missing_values", ()))
    numeric = list(values["numeric"])
    numbers = np.empty((len(frame), len(numeric)))
    for at, name in enumerate(numeric):
        numbers[:, at] = _numbers(frame, name, marks, gaps_as)
    missing = np.isnan(numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        standardised = (np.where(missing, arrays["median"], numbers) - arrays["mean"]) / arrays["scale"]
    gaps = missing[:, [numeric.index(name) for name in values["gappy"]]]
    coded = [_one_hot(frame, name, known, gaps_as) for name, known in values["categorical"].items()]
    with np.errstate(over="ignore"):
        return np.hstack([standardised.astype(np.float32), gaps.astype(np.float32), *coded])


def odd_rows_of_table(values: Mapping[str, Any], rows: Any) -> dict[str, int]:
    """How many rows lack a value, or have a category that training did not have."""
    frame, known = _with_known_names(rows, values)
    marks, gaps_as = Marks(values["decimal"], values["thousands"]), tuple(values.get("missing_values", ()))
    lacking, unknown = np.zeros(len(frame), bool), np.zeros(len(frame), bool)
    for name in known:
        if name not in values["categorical"]:
            lacking |= np.isnan(_numbers(frame, name, marks, gaps_as))
            continue
        codes = _codes(frame, name, values["categorical"][name], gaps_as)
        lacking |= codes == _GAP
        unknown |= codes == _UNKNOWN
    return {
        "with a missing value (filled in as in training)": int(lacking.sum()),
        "with a category that training did not have": int(unknown.sum()),
    }


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
    frame, known = _with_known_names(rows, values)
    if not set(known) & set(frame.columns):
        raise ValueError(f"the rows have none of the columns that the model takes: {', '.join(known)}")
    if absent := [name for name in known if name not in frame.columns]:
        _LOG.warning("the rows lack columns, which count as missing in every row: %s", ", ".join(absent))
    return frame


def _with_known_names(rows: Any, values: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """(the rows as a DataFrame, the columns that the model takes)."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    known = [*values["numeric"], *values["categorical"]]
    return frame.rename(columns=dict(_without_spaces(frame, known))), known


def _without_spaces(frame: pd.DataFrame, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, the same without the spaces before it) of columns that the model takes by that name."""
    for name in frame.columns:
        if name not in known and name.lstrip() in known and name.lstrip() not in frame.columns:
            yield name, name.lstrip()


def _numbers(frame: pd.DataFrame, name: str, marks: Marks, gaps_as: Sequence[str]) -> np.ndarray:
    """A column as float64 [n], NaN where it is missing."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    column = frame[name]
    if column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype):
        raise ValueError(f"the column {name!r} must be numeric, but holds {column.dtype} values")
    column = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if not pd.api.types.is_numeric_dtype(column.dtype):
        column = _by_marks(_with_gaps(column, gaps_as), marks)
    converted = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    texts = np.flatnonzero(np.isnan(converted) & column.notna().to_numpy())
    converted = converted.copy() if len(texts) or gaps_as else converted
    for row in texts:
        read = number_read(str(column.iloc[row]), marks)
        if read is None:
            raise ValueError(
                f"the column {name!r} must be numeric, but is {column.iloc[row]!r} in row {row + 1}"
            )
        converted[row] = float(read)
    if numbers := [float(text) for text in gaps_as if PLAIN.fullmatch(text.strip())]:
        converted[np.isin(converted, numbers)] = np.nan
    if len(infinite := np.flatnonzero(np.isinf(converted))):
        raise ValueError(f"the column {name!r} is infinite in row {infinite[0] + 1}")
    return converted


def _with_gaps(column: pd.Series[Any], gaps_as: Sequence[str]) -> pd.Series[Any]:
    """Texts without the spaces around them, None where one is empty or stands for a missing value."""

    def cell(value: Any) -> Any:
        text = value.strip() if isinstance(value, str) else value
        return None if isinstance(text, str) and text in ("", *gaps_as) else text

    return column.astype(object).map(cell)


def _by_marks(column: pd.Series[Any], marks: Marks) -> pd.Series[Any]:
    """Texts as plain numbers where the marks fit every one of them; else as they are. 1.100 fits a decimal point too,
    so the marks that the training file stated come first."""
    is_text = column.map(lambda value: isinstance(value, str)).to_numpy(bool)
    if marks == Marks() or not is_text.any():
        return column
    read = column[is_text].map(lambda text: number_read(text, marks))
    return column if read.isna().any() else column.mask(is_text, read)


def _one_hot(
    frame: pd.DataFrame, name: str, known: Sequence[str | None], gaps_as: Sequence[str]
) -> np.ndarray:
    """Float32 [n, categories]."""
    codes = _codes(frame, name, known, gaps_as)
    if None in known:
        codes = np.where(codes == _GAP, list(known).index(None), codes)
    coded: np.ndarray = (codes[:, None] == np.arange(len(known))).astype(np.float32)
    return coded


def _codes(frame: pd.DataFrame, name: str, known: Sequence[str | None], gaps_as: Sequence[str]) -> np.ndarray:
    """The number of each row's category, int64 [n]; _GAP where it is missing, _UNKNOWN for another one."""
    if name not in frame.columns:
        return np.full(len(frame), _GAP)
    place: dict[str | None, int] = {text: at for at, text in enumerate(known)}
    place |= dict.fromkeys([None, *gaps_as], _GAP)
    column = frame[name]
    found = zip(column.to_numpy(object), column.isna().to_numpy(), strict=True)
    return np.array([_GAP if gap else _place(place, value) for value, gap in found], np.int64)


def _place(place: Mapping[str | None, int], value: Any) -> int:
    """The number of a category, -1 for an unknown one. A whole number is the same category with a point and without:
    whether pandas writes one depends on the column's other rows. Spaces before a text are left out, as from a file."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if text in place:
        return place[text]
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return place.get(str(int(value)), -1)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return place.get(f"{value}.0", -1)
    return place.get(text.lstrip() or None, -1)
